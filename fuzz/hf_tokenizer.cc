// tokenizer.json and the files beside it, as a vocabulary that encodes, and written again.
#include "fuzz/input.h"
#include "fuzz/small_llama.h"
#include "fuzz/tokenizer_folder.h"
#include "text/gguf_vocabulary.h"
#include "text/synthetic_vocabulary.h"

namespace longspan::fuzz {
namespace {

std::vector<std::string> Files() {
  return {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"};
}

}  // namespace

void Parse(std::span<const std::byte> input) { ReadTokenizerFolder(input, Files()); }

void MakeSeeds(const std::filesystem::path& folder) {
  Vocabulary bpe = SyntheticVocabulary(300);
  bpe.pre = "llama-bpe";
  bpe.chat_template = "{{ messages }}";
  bpe.edges = {{256, {.lstrip = true, .single_word = true}}, {257, {.rstrip = true}}};
  GgufMetadata metadata;
  WriteVocabulary(bpe, metadata);
  const TestFolder as_bpe, as_spm;
  WriteHfTokenizer(metadata, as_bpe.path());
  JoinFiles(as_bpe.path(), Files(), folder / "bpe");
  WriteHfTokenizer(SmallVocabulary(), as_spm.path());
  JoinFiles(as_spm.path(), Files(), folder / "spm");
}

}  // namespace longspan::fuzz
