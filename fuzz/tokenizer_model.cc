// tokenizer.model, SentencePiece's and tiktoken's.
#include "fuzz/input.h"
#include "fuzz/small_llama.h"
#include "fuzz/target.h"
#include "text/gguf_vocabulary.h"
#include "text/hf_tokenizer.h"
#include "text/tiktoken_model.h"
#include "text/tokenizer.h"

namespace longspan::fuzz {
namespace {

std::vector<std::string> Files() { return {"tokenizer.model", "tokenizer_config.json"}; }

}  // namespace

void Parse(std::span<const std::byte> input) {
  // Whole, a tiktoken file has as many tokens as Llama 3, which no input here has.
  Attempt([&] {
    VocabularyFromRanks(ParseTiktoken(SplitFiles(input, 2)[0], "tokenizer.model"), "tokenizer.model");
  });
  const MemoryFolder folder(input, Files());
  const GgufMetadata metadata = ReadHfTokenizer(folder.path(), 0);
  Attempt([&] {
    Tokenizer::Make(ReadVocabulary(metadata))->Encode(" Hello <s>world\n123", {.parse_special = true});
  });
  const TestFolder copy;
  WriteHfTokenizer(metadata, copy.path());
}

void MakeSeeds(const std::filesystem::path& folder) {
  const TestFolder place;
  WriteHfTokenizer(SmallVocabulary(), place.path());
  JoinFiles(place.path(), Files(), folder / "spm");
  WriteFile(folder / "tiktoken", "IQ== 0\nIg== 1\nISE= 2\nISEi 3\n");
}

}  // namespace longspan::fuzz
