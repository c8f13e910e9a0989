#include "nn/embedding.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "tensor/codec.h"

namespace longspan {

void EmbeddingForward(const Tensor& table, std::span<const std::int32_t> tokens, Rows x) {
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= table.rows())
      Fail(ErrorKind::kBadOption, "token {} is outside the vocabulary of {}", token, table.rows());
  }
  constexpr std::int64_t kRows = 16;  // of a task
  const std::int64_t n = std::ssize(tokens);
  ParallelFor((n + kRows - 1) / kRows, [&](std::int64_t piece) {
    for (std::int64_t i = piece * kRows; i < std::min(n, (piece + 1) * kRows); ++i)
      DecodeRow(table.type(), table.row(tokens[i]).data(), x[i].data(), table.cols());
  });
}

void EmbeddingBackward(std::span<const std::int32_t> tokens, ConstRows dx, Rows dtable) {
  // Each task has some columns of all rows. So the rows of a token that occurs twice are added in the same
  // order with any number of threads.
  constexpr std::int64_t kColumns = 64;
  ParallelFor((dx.cols + kColumns - 1) / kColumns, [&](std::int64_t piece) {
    const std::int64_t first = piece * kColumns, end = std::min(dx.cols, first + kColumns);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      for (std::int64_t j = first; j < end; ++j)
        dtable.at(tokens[i], j) += dx.at(static_cast<std::int64_t>(i), j);
    }
  });
}

}  // namespace longspan
