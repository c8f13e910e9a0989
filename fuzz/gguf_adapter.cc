// LoRA adapters as GGUF.
#include "formats/peft.h"
#include "fuzz/input.h"
#include "fuzz/small_llama.h"
#include "fuzz/target.h"

namespace longspan::fuzz {

void Parse(std::span<const std::byte> input) {
  const MemoryFile file(input);
  ReadGgufAdapter(file.path(), SmallLlama());
}

void MakeSeeds(const std::filesystem::path& folder) {
  WriteGgufAdapter(folder / "lora", SmallAdapter(false));
}

}  // namespace longspan::fuzz
