// GGUF: the container, all that it says of a Llama, and every tensor that can be decoded.
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "formats/llama_gguf.h"
#include "fuzz/input.h"
#include "fuzz/small_llama.h"
#include "fuzz/target.h"
#include "tensor/codec.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"

namespace longspan::fuzz {

constexpr std::int64_t kDecodeAtMost = 1 << 16;  // elements of a tensor

void Parse(std::span<const std::byte> input) {
  const MemoryFile memory(input);
  const auto file = GgufFile::Open(memory.path());
  for (const auto& [key, value] : file->metadata()) Summary(value);
  for (const GgufTensor& tensor : file->tensors()) {
    if (CanDecode(tensor.type) && tensor.elements() <= kDecodeAtMost) file->LoadTensor(tensor.name).ToF32();
  }
  Attempt([&] { Tokenizer::Make(ReadVocabulary(file->metadata())); });
  LoadModel(memory.path());
}

namespace {

// A file with a block or a number of every type.
void WriteEveryType(const std::filesystem::path& path) {
  GgufMetadata metadata;
  metadata.Set("u8", std::uint8_t{1});
  metadata.Set("i64", std::int64_t{-1});
  metadata.Set("f64", 0.5);
  metadata.Set("bool", true);
  metadata.Set("list", std::vector<std::uint16_t>{1, 2, 3});
  metadata.Set("lists", std::vector<GgufArray>{{std::vector<float>{1, 2}}, {std::vector<bool>{true, false}}});
  GgufWriter writer(path, metadata);
  std::vector<std::pair<std::string, std::size_t>> tensors;
  for (std::uint32_t id = 0; id < 64; ++id) {
    const auto type = TypeFromId(id);
    if (!type || !CanDecode(*type)) continue;
    const TypeTraits& traits = Traits(*type);
    tensors.emplace_back(traits.name, static_cast<std::size_t>(traits.block_bytes));
    writer.Declare(traits.name, *type, {traits.block_elements});
  }
  for (const auto& [name, bytes] : tensors)
    writer.Write(name, std::vector<std::byte>(bytes, std::byte{0x35}));
  writer.Commit();
}

}  // namespace

void MakeSeeds(const std::filesystem::path& folder) {
  WriteEveryType(folder / "types");
  LlamaConfig config = SmallLlama();
  SaveModel(folder / "f32", config, RandomWeights(config, 1), SmallVocabulary());
  config.rope_scaling = {.kind = RopeScaling::Kind::kYarn, .factor = 4.0, .original_context = 16};
  config.tied_embeddings = true;
  SaveModel(folder / "tied-yarn-f16", config, ToFloat(RandomWeights(config, 1), Type::kF16),
            SmallVocabulary());
  config.rope_scaling.kind = RopeScaling::Kind::kLlama3;
  SaveModel(folder / "llama3", config, RandomWeights(config, 1), SmallVocabulary());
}

}  // namespace longspan::fuzz
