// safetensors: the header, and every tensor.
#include "formats/safetensors.h"

#include "base/file.h"
#include "fuzz/input.h"
#include "fuzz/target.h"
#include "tensor/codec.h"

namespace longspan::fuzz {

void Parse(std::span<const std::byte> input) {
  const MemoryFile memory(input);
  const auto file = SafetensorsFile::Open(memory.path());
  for (const SafetensorsEntry& entry : file->entries()) {
    const Tensor tensor = file->LoadTensor(entry.name);
    if (CanDecode(tensor.type()) && !tensor.empty()) tensor.ToF32();
  }
}

void MakeSeeds(const std::filesystem::path& folder) {
  SafetensorsWriter writer(folder / "three");
  const std::vector<std::byte> bytes(24, std::byte{0x3c});
  writer.Declare("a", Type::kF32, {2, 3});
  writer.Declare("b", Type::kF16, {3});
  writer.Declare("c", Type::kBF16, {1, 1, 5});
  writer.Write("a", bytes);
  writer.Write("b", std::span(bytes).first(6));
  writer.Write("c", std::span(bytes).first(10));
  writer.Commit();
  // What the writer does not write: other types, an empty tensor, a scalar, metadata, blanks.
  const std::string header =
      R"({"__metadata__":{"format":"pt","x":""}, "i":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
      R"("empty":{"dtype":"F64","shape":[0,7],"data_offsets":[8,8]},)"
      R"("b":{"dtype":"I8","shape":[3],"data_offsets":[8,11]}})";
  const std::uint64_t size = header.size();
  WriteFile(folder / "others",
            std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + header + "0123456789A");
}

}  // namespace longspan::fuzz
