// A Hugging Face folder as a whole, to GGUF: config.json, weights with and without an index, the tokenizer.
#include "convert/gguf_to_hf.h"
#include "convert/hf_to_gguf.h"
#include "formats/llama_gguf.h"
#include "fuzz/input.h"
#include "fuzz/small_llama.h"
#include "fuzz/target.h"

namespace longspan::fuzz {
namespace {

std::vector<std::string> Files() {
  return {"config.json",
          "model.safetensors",
          "model.safetensors.index.json",
          "model-00001-of-00002.safetensors",
          "model-00002-of-00002.safetensors",
          "tokenizer.json",
          "README.md"};
}

}  // namespace

void Parse(std::span<const std::byte> input) {
  const MemoryFolder folder(input, Files());
  const TestFolder out;
  ConvertHfToGguf(folder.path(), out / "model.gguf", "auto", NoProgress());
  LoadModel(out / "model.gguf");
}

void MakeSeeds(const std::filesystem::path& folder) {
  LlamaConfig config = SmallLlama();
  const auto write = [&](const std::string& name, std::uint64_t shard_bytes) {
    const TestFolder place;
    SaveModel(place / "model.gguf", config, RandomWeights(config, 1), SmallVocabulary());
    ConvertGgufToHf(place / "model.gguf", place / "hf", {.shard_bytes = shard_bytes}, NoProgress());
    JoinFiles(place / "hf", Files(), folder / name);
  };
  write("llama", 1 << 20);
  write("shards", 600);
  config.rope_scaling = {.kind = RopeScaling::Kind::kYarn, .factor = 4.0, .original_context = 16};
  config.tied_embeddings = true;
  write("yarn", 1 << 20);
}

}  // namespace longspan::fuzz
