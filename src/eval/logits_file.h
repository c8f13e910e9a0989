// A reference model's predictions as a file, so that many models can be compared with it and it is run once.
// The format is llama-perplexity's (its options --kl-divergence-base and --kl-divergence), so that either
// program reads what the other wrote.
//
// Little-endian: "_logits_"; int32 tokens of a chunk, tokens of the vocabulary, chunks; int32 tokens
// [chunks][context]; and for each chunk the rows of its second half, that is the predictions after its tokens
// context / 2 to context - 2. A row is float32 scale, float32 minimum, then a uint16 for each token of the
// vocabulary and one more where their number is odd: the log-probability is minimum + scale * value. All
// tokens that are at most e^-16 times as likely as the likeliest one have the value 0. Readers leave out
// probabilities below e^-16.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/file.h"
#include "tensor/rows.h"

namespace longspan {

// The dimensions of a file.
struct LogitsShape {
  std::int64_t context = 0, vocab_size = 0, chunks = 0;

  std::int64_t rows_of_chunk() const { return context - 1 - context / 2; }
  std::int64_t rows() const { return chunks * rows_of_chunk(); }
  // Values of 16 bits, scale and minimum included.
  std::int64_t row_values() const { return 4 + (vocab_size + 1) / 2 * 2; }
  // Tokens and rows of one chunk. Dimensions are int32 in the file, so this cannot wrap.
  std::uint64_t ChunkBytes() const;
};

// One row, a view.
struct LogProbabilities {
  float scale = 0, minimum = 0;
  std::span<const std::uint16_t> values;  // [vocab_size]

  float operator[](std::size_t token) const { return minimum + scale * static_cast<float>(values[token]); }
};

// A mapped file. Error(kInvalidFile) for one that is not such a file, or is not whole.
class LogitsFile {
 public:
  explicit LogitsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_->path(); }
  const LogitsShape& shape() const { return shape_; }
  std::span<const std::int32_t> Chunk(std::int64_t chunk) const;  // [context]
  // Row `row` of all chunks'. Error(kInvalidFile) where the row holds no probabilities.
  LogProbabilities Row(std::int64_t row) const;

 private:
  std::shared_ptr<const MappedFile> file_;
  LogitsShape shape_;
  std::vector<std::int32_t> tokens_;
  std::span<const std::byte> rows_;
};

// Writes such a file row by row; it appears whole with Commit.
class LogitsWriter {
 public:
  // tokens [chunks][context]. Error(kIo) where there is not room enough.
  LogitsWriter(const std::filesystem::path& path, const LogitsShape& shape,
               std::span<const std::int32_t> tokens);

  // The next rows: logits [rows, vocab_size]. Error(kInvalidFile) where they are not numbers.
  void Write(ConstRows logits);
  void Commit();

 private:
  LogitsShape shape_;
  AtomicFile file_;
  std::int64_t rows_left_;
  std::vector<std::uint16_t> encoded_;
};

}  // namespace longspan
