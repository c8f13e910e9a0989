// llama2.c: a checkpoint and its tokenizer.
#include "formats/llama2c.h"

#include <array>

#include "fuzz/input.h"
#include "fuzz/target.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"

namespace longspan::fuzz {

void Parse(std::span<const std::byte> input) {
  const auto parts = SplitFiles(input, 2);
  const MemoryFile model(std::as_bytes(std::span(parts[0]))), tokenizer(std::as_bytes(std::span(parts[1])));
  std::int64_t vocabulary = 5;
  Attempt([&] { vocabulary = ReadLlama2c(model.path()).config.vocab_size; });
  Tokenizer::Make(ReadVocabulary(ReadLlama2cTokenizer(tokenizer.path(), vocabulary)));
}

void MakeSeeds(const std::filesystem::path& folder) {
  const auto text = [](const auto& values) {
    return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0]));
  };
  const std::array<std::int32_t, 7> header = {4, 4, 1, 2,
                                              1, 5, 2};  // dim, hidden, layers, heads, kv, vocabulary, window
  // embedding, both norms of the layer, q k v o, gate up down, the last norm, and the angles, unused since.
  const std::vector<float> weights(5 * 4 + 4 + 4 + 16 + 8 + 8 + 16 + 3 * 16 + 4 + 2 * 2);
  std::string tokens = text(std::array<std::int32_t, 1>{6});
  for (const std::string token : {"<unk>", "\n<s>\n", "\n</s>\n", "<0x00>", "a"}) {
    tokens +=
        text(std::array<float, 1>{-1}) + text(std::array{static_cast<std::int32_t>(token.size())}) + token;
  }
  WriteFile(folder / "small", text(header) + text(weights) + std::string(kNextFile) + tokens);
}

}  // namespace longspan::fuzz
