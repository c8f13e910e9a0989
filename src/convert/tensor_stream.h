// A tensor from one file to another in pieces: no tensor is ever in memory as a whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "encode/unfit_values.h"
#include "formats/rope_order.h"
#include "tensor/type.h"

namespace longspan {

// The order of rows that heads of `head_dim` rows are brought into.
struct HeadOrder {
  std::int64_t head_dim = 0;
  RopeOrder to = RopeOrder::kInterleaved;
};

// What StreamTensor holds of a tensor at once, bytes: once as it reorders rows, and once as it changes types.
inline constexpr std::int64_t kStreamPiece = 8 << 20;

struct TensorStream {
  std::span<const std::byte> bytes;  // `rows` of `cols` in type `from`; need not be aligned
  Type from = Type::kF32;
  Type to = Type::kF32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::optional<HeadOrder> order = std::nullopt;
  TooLarge too_large = TooLarge::kRefuse;  // values beyond what `to` holds
};

// Gives the converted bytes of the tensor to `take` in pieces of some kStreamPiece, and each piece of `bytes`
// that is no longer needed to `release`. Bytes of a type that stays are passed on unchanged; others are
// decoded and rounded once. Returns what was clipped. Error(kInvalidFile) with counts for values that `to`
// cannot hold, when all pieces are given.
UnfitValues StreamTensor(const TensorStream& stream, FunctionRef<void(std::span<const std::byte>)> take,
                         FunctionRef<void(std::span<const std::byte>)> release);

// `shape` as rows and columns that StreamTensor can permute by rows: a vector of heads (a bias) is a column.
void SetMeasures(TensorStream& stream, const std::vector<std::int64_t>& shape);

}  // namespace longspan
