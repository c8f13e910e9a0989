// A GGUF model in two files, joined.
#include "formats/gguf_shards.h"

#include "formats/llama_gguf.h"
#include "fuzz/input.h"
#include "fuzz/small_llama.h"
#include "fuzz/target.h"

namespace longspan::fuzz {
namespace {

std::vector<std::string> Files() { return {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}; }

}  // namespace

void Parse(std::span<const std::byte> input) {
  const MemoryFolder folder(input, Files());
  const auto file = GgufFile::Open(folder.path() / Files()[0]);
  for (const GgufTensor& tensor : file->tensors()) file->LoadTensor(tensor.name);
}

void MakeSeeds(const std::filesystem::path& folder) {
  const TestFolder place;
  LlamaConfig config = SmallLlama();
  config.tied_embeddings = true;
  SaveModel(place / "model.gguf", config, RandomWeights(config, 1), GgufMetadata());
  WriteGgufShards(*GgufFile::Open(place / "model.gguf"), place.path(), "m", 300, NoProgress());
  JoinFiles(place.path(), Files(), folder / "two");
}

}  // namespace longspan::fuzz
