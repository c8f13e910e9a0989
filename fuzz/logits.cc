// Saved predictions, as `eval kld` and llama-perplexity write them.
#include "eval/logits_file.h"

#include "fuzz/input.h"
#include "fuzz/target.h"
#include "tensor/rows.h"

namespace longspan::fuzz {

void Parse(std::span<const std::byte> input) {
  const MemoryFile memory(input);
  const LogitsFile file(memory.path());
  for (std::int64_t chunk = 0; chunk < file.shape().chunks; ++chunk) file.Chunk(chunk);
  for (std::int64_t row = 0; row < file.shape().rows(); ++row) {
    const LogProbabilities probabilities = file.Row(row);
    for (std::size_t token = 0; token < probabilities.values.size(); ++token) probabilities[token];
  }
}

void MakeSeeds(const std::filesystem::path& folder) {
  const LogitsShape shape{.context = 4, .vocab_size = 3, .chunks = 2};
  LogitsWriter writer(folder / "two", shape, std::vector<std::int32_t>{0, 1, 2, 0, 0, 2, 1, 1});
  Matrix logits(shape.rows(), shape.vocab_size);
  logits[0][1] = 1.0f;
  writer.Write(logits);
  writer.Commit();
}

}  // namespace longspan::fuzz
