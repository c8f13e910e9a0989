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
  const LoraAdapter adapter = ReadPeft(folder.path(), SmallLlama());
  CheckBaseLayers(adapter, RandomWeights(SmallLlama(), 1));
}

void MakeSeeds(const std::filesystem::path& folder) {
  for (const bool rslora : {false, true}) {
    const TestFolder place;
    WritePeft(place.path(), SmallAdapter(rslora), SmallLlama());
    JoinFiles(place.path(), Files(), folder / (rslora ? "rslora" : "lora"));
  }
  // An LM head as PEFT saves it, with the base's own weight.
  const TestFolder place;
  WritePeft(place.path(), SmallAdapter(false), SmallLlama());
  const Weights base = RandomWeights(SmallLlama(), 1);
  const Tensor a = Tensor::Allocate(Type::kF32, {2, 4}), b = Tensor::Allocate(Type::kF32, {4, 2});
  SafetensorsWriter writer(place / Files()[1]);
  const std::string head = "base_model.model.lm_head.";
  writer.Declare(head + "base_layer.weight", Type::kF32, base.output.shape());
  writer.Declare(head + "lora_A.weight", Type::kF32, a.shape());
  writer.Declare(head + "lora_B.weight", Type::kF32, b.shape());
  writer.Write(head + "base_layer.weight", base.output.bytes());
  writer.Write(head + "lora_A.weight", a.bytes());
  writer.Write(head + "lora_B.weight", b.bytes());
  writer.Commit();
  JoinFiles(place.path(), Files(), folder / "lm_head");
}

}  // namespace longspan::fuzz
