// PEFT adapter folders: adapter_config.json, then adapter_model.safetensors.
#include "formats/peft.h"

#include "fuzz/input.h"
#include "fuzz/small_llama.h"
#include "fuzz/target.h"

namespace longspan::fuzz {

namespace {
std::vector<std::string> Files() { return {"adapter_config.json", "adapter_model.safetensors"}; }
}  // namespace

void Parse(std::span<const std::byte> input) {
  const MemoryFolder folder(input, Files());
  ReadPeft(folder.path(), SmallLlama());
}

void MakeSeeds(const std::filesystem::path& folder) {
  for (const bool rslora : {false, true}) {
    const TestFolder place;
    WritePeft(place.path(), SmallAdapter(rslora), SmallLlama());
    JoinFiles(place.path(), Files(), folder / (rslora ? "rslora" : "lora"));
  }
}

}  // namespace longspan::fuzz
