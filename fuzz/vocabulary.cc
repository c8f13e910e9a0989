// Vocabularies from GGUF and texts met by them: ids are tokens, streamed text is decoded text, and nothing
// takes for ever.
#include <cstdlib>

#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "fuzz/input.h"
#include "fuzz/small_llama.h"
#include "fuzz/target.h"
#include "text/gguf_vocabulary.h"
#include "text/stream_decoder.h"
#include "text/synthetic_vocabulary.h"
#include "text/tokenizer.h"

namespace longspan::fuzz {

void Parse(std::span<const std::byte> input) {
  const auto parts = SplitFiles(input, 2);
  const MemoryFile memory(std::as_bytes(std::span(parts[0])));
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(GgufFile::Open(memory.path())->metadata()));
  for (const bool special : {false, true}) {
    const auto ids = tokenizer->Encode(parts[1], {.parse_special = special, .add_bos = true});
    StreamDecoder decoder(*tokenizer, {.special = special});
    std::string streamed;
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
      streamed += decoder.Push(id);
    }
    if (streamed + decoder.Finish() != tokenizer->Decode(ids, {.special = special})) std::abort();
  }
}

void MakeSeeds(const std::filesystem::path& folder) {
  const std::string text = " Hello <s>world\n12345 caf\xc3\xa9";
  const auto write = [&](const std::string& name, const GgufMetadata& metadata) {
    const TestFolder place;
    GgufWriter(place / "vocabulary", metadata).Commit();
    WriteFile(place / "text", text);
    JoinFiles(place.path(), {"vocabulary", "text"}, folder / name);
  };
  write("spm", SmallVocabulary());
  Vocabulary bpe = SyntheticVocabulary(300);
  bpe.pre = "llama-bpe";
  bpe.edges = {{256, {.lstrip = true, .single_word = true}}, {257, {.rstrip = true}}};
  GgufMetadata metadata;
  WriteVocabulary(bpe, metadata);
  write("bpe", metadata);
}

}  // namespace longspan::fuzz
