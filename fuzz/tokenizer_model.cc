// tokenizer.model, SentencePiece's and tiktoken's, with a tokenizer.json beside it.
#include "fuzz/input.h"
#include "fuzz/small_llama.h"
#include "fuzz/tokenizer_folder.h"
#include "text/hf/tiktoken_model.h"

namespace longspan::fuzz {
namespace {

std::vector<std::string> Files() { return {"tokenizer.model", "tokenizer_config.json", "tokenizer.json"}; }

}  // namespace

void Parse(std::span<const std::byte> input) {
  // A folder's tiktoken file must have as many tokens as Llama 3, which no input here has, so it is also
  // parsed by itself.
  Attempt([&] {
    VocabularyFromRanks(ParseTiktoken(SplitFiles(input, 3)[0], "tokenizer.model"), "tokenizer.model");
  });
  ReadTokenizerFolder(input, Files());
}

void MakeSeeds(const std::filesystem::path& folder) {
  const TestFolder place;
  WriteHfTokenizer(SmallVocabulary(), place.path());
  JoinFiles(place.path(), Files(), folder / "spm");
  WriteFile(folder / "tiktoken", "IQ== 0\nIg== 1\nISE= 2\nISEi 3\n");
}

}  // namespace longspan::fuzz
