// Vocabularies from GGUF and texts met by them: what is encoded comes back, and nothing takes for ever.
#include <cstdlib>

#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "fuzz/input.h"
#include "fuzz/small_llama.h"
#include "fuzz/target.h"
#include "text/gguf_vocabulary.h"
#include "text/synthetic_vocabulary.h"
#include "text/tokenizer.h"

namespace longspan::fuzz {

void Parse(std::span<const std::byte> input) {
  const auto parts = SplitFiles(input, 2);
  const MemoryFile memory(std::as_bytes(std::span(parts[0])));
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(GgufFile::Open(memory.path())->metadata()));
  for (const bool special : {false, true}) {
    const auto ids = tokenizer->Encode(parts[1], {.parse_special = special, .add_bos = true});
    tokenizer->Decode(ids, {.special = special});
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
    }
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
  GgufMetadata metadata;
  WriteVocabulary(bpe, metadata);
  write("bpe", metadata);
}

}  // namespace longspan::fuzz
