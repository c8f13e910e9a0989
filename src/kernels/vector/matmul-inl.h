// Matrix products over weights of any type. All three are C [m, n] (+)= A [m, k] B [k, n] with B packed,
// block by block, into panels: decoding and transposing of weights happens there and nowhere else, and its
// cost is shared by all rows of A. Packing does not pay for a few rows. There each weight row is decoded once
// and dotted.
#if defined(LONGSPAN_KERNELS_VECTOR_MATMUL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_MATMUL_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_MATMUL_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_MATMUL_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/kernels.h"
#include "kernels/vector/panel-inl.h"
#include "tensor/codec.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

// Depth of a packed block: a multiple of every type's block, so that rows can be decoded piece by piece; a
// panel of this depth and a strip of A fit the first-level cache together.
inline constexpr std::int64_t kDepth = 256;
// Rows of A that one task multiplies by its packed block: kRowBlock * kDepth floats stay in the second-level
// cache.
inline constexpr std::int64_t kRowBlock = 1024;
inline constexpr std::int64_t kColumnBlock = 256;
// From this many rows on, packing pays.
inline constexpr std::int64_t kPackFromRows = 8;

// DecodeRow, with the half-precision types widened by the instruction set's own conversions.
inline void Decode(Type type, const std::byte* from, float* to, std::int64_t n) {
  const FloatTag d;
  std::int64_t i = 0;
  if (type == Type::kF16) {
    const hn::Rebind<hwy::float16_t, FloatTag> dh;
    const auto* bits = reinterpret_cast<const hwy::float16_t*>(from);
    for (; i + kLanes <= n; i += kLanes) hn::StoreU(hn::PromoteTo(d, hn::LoadU(dh, bits + i)), d, to + i);
  } else if (type == Type::kBF16) {
    const hn::Rebind<hwy::bfloat16_t, FloatTag> dh;
    const auto* bits = reinterpret_cast<const hwy::bfloat16_t*>(from);
    for (; i + kLanes <= n; i += kLanes) hn::StoreU(hn::PromoteTo(d, hn::LoadU(dh, bits + i)), d, to + i);
  }
  if (i < n) DecodeRow(type, from + (i == 0 ? 0 : RowBytes(type, i)), to + i, n - i);
}

// Writes the panels of B's block [first_k, first_k + depth) x [first_n, first_n + width): panel by panel,
// `depth` rows of kPanel floats, zero past the width.
class WeightAsColumns {  // B = W^T: column n of B is row n of W
 public:
  explicit WeightAsColumns(const Tensor& w) : w_(w) {}
  static constexpr std::int64_t kColumns = 64, kRows = kRowBlock;
  std::int64_t k() const { return w_.cols(); }
  std::int64_t n() const { return w_.rows(); }
  void Pack(std::int64_t first_k, std::int64_t depth, std::int64_t first_n, std::int64_t width,
            float* out) const {
    HWY_ALIGN float row[kDepth];
    const std::int64_t skip = RowBytes(w_.type(), first_k);
    for (std::int64_t j = 0; j < width; ++j) {
      Decode(w_.type(), w_.row(first_n + j).data() + skip, row, depth);
      float* to = out + j / kPanel * kPanel * depth + j % kPanel;
      for (std::int64_t i = 0; i < depth; ++i) to[i * kPanel] = row[i];
    }
    for (std::int64_t j = width; j % kPanel != 0; ++j) {
      float* to = out + j / kPanel * kPanel * depth + j % kPanel;
      for (std::int64_t i = 0; i < depth; ++i) to[i * kPanel] = 0;
    }
  }

 private:
  const Tensor& w_;
};

// Copies `width` floats into row i of the panels at `out`.
inline void PackRow(const float* from, std::int64_t i, std::int64_t depth, std::int64_t width, float* out) {
  for (std::int64_t j = 0; j < width; j += kPanel) {
    float* to = out + j * depth + i * kPanel;
    const std::int64_t count = std::min(kPanel, width - j);
    std::memcpy(to, from + j, static_cast<std::size_t>(count) * sizeof(float));
    if (count < kPanel) std::memset(to + count, 0, static_cast<std::size_t>(kPanel - count) * sizeof(float));
  }
}

class WeightAsRows {  // B = W
 public:
  explicit WeightAsRows(const Tensor& w) : w_(w) {}
  static constexpr std::int64_t kColumns = kColumnBlock;  // a multiple of every type's block
  static constexpr std::int64_t kRows = kRowBlock;
  std::int64_t k() const { return w_.rows(); }
  std::int64_t n() const { return w_.cols(); }
  void Pack(std::int64_t first_k, std::int64_t depth, std::int64_t first_n, std::int64_t width,
            float* out) const {
    HWY_ALIGN float row[kColumnBlock];
    const std::int64_t skip = RowBytes(w_.type(), first_n);
    for (std::int64_t i = 0; i < depth; ++i) {
      Decode(w_.type(), w_.row(first_k + i).data() + skip, row, width);
      PackRow(row, i, depth, width, out);
    }
  }

 private:
  const Tensor& w_;
};

class FloatRows {  // B = X
 public:
  explicit FloatRows(ConstRows x) : x_(x) {}
  // C is as small as a weight here: smaller pieces, so that all threads have work.
  static constexpr std::int64_t kColumns = 128, kRows = 192;
  std::int64_t k() const { return x_.rows; }
  std::int64_t n() const { return x_.cols; }
  void Pack(std::int64_t first_k, std::int64_t depth, std::int64_t first_n, std::int64_t width,
            float* out) const {
    for (std::int64_t i = 0; i < depth; ++i) PackRow(&x_.at(first_k + i, first_n), i, depth, width, out);
  }

 private:
  ConstRows x_;
};

// A as strips of kTileRows rows. An A whose columns lie apart (a transposed matrix) is copied, because its
// strided reads would fall on few cache sets.
class Strips {
 public:
  Strips(const Strided& a, std::int64_t m, std::int64_t depth)
      : a_(a), depth_(depth), copied_(a.column_stride != 1) {
    if (!copied_) return;
    static thread_local AlignedVector<float> copy;
    copy.resize((m + kTileRows) * depth);
    copy_ = copy.data();
    for (std::int64_t i = 0; i < m; i += kTileRows) {
      const std::int64_t rows = std::min<std::int64_t>(kTileRows, m - i);
      float* to = copy_ + i * depth;
      for (std::int64_t k = 0; k < depth; ++k, to += kTileRows) {
        const float* from = a.data + i * a.row_stride + k * a.column_stride;
        if (rows == kTileRows && a.row_stride == 1)
          std::memcpy(to, from, kTileRows * sizeof(float));
        else
          for (std::int64_t r = 0; r < rows; ++r) to[r] = from[r * a.row_stride];
      }
    }
  }
  // The strip of rows [i, i + kTileRows).
  Strided At(std::int64_t i) const {
    if (copied_) return {copy_ + i * depth_, 1, kTileRows};
    return {a_.data + i * a_.row_stride, a_.row_stride, a_.column_stride};
  }

 private:
  const Strided a_;
  const std::int64_t depth_;
  const bool copied_;
  float* copy_ = nullptr;
};

// One task's share: rows [first_m, first_m + m) and columns [first_n, first_n + n) of C. Each element of C is
// summed by one task in one order, so the number of threads changes nothing.
template <class B>
void PackedProductTask(Strided a, const B& b, Rows c, std::int64_t first_m, std::int64_t m,
                       std::int64_t first_n, std::int64_t n, bool add) {
  static thread_local AlignedVector<float> packed;
  packed.resize(kDepth * (B::kColumns + kPanel));
  HWY_ALIGN float edge[kTileRows * kPanel];
  for (std::int64_t first_k = 0; first_k < b.k(); first_k += kDepth) {
    const std::int64_t depth = std::min(kDepth, b.k() - first_k);
    b.Pack(first_k, depth, first_n, n, packed.data());
    const Strips strips(
        {a.data + first_m * a.row_stride + first_k * a.column_stride, a.row_stride, a.column_stride}, m,
        depth);
    const bool accumulate = add || first_k > 0;
    for (std::int64_t j = 0; j < n; j += kPanel) {
      const float* panel = packed.data() + j * depth;
      const std::int64_t width = std::min(kPanel, n - j);
      for (std::int64_t i = 0; i < m; i += kTileRows) {
        const std::int64_t rows = std::min<std::int64_t>(kTileRows, m - i);
        float* to = &c.at(first_m + i, first_n + j);
        if (width == kPanel) {
          PanelProduct(rows, depth, strips.At(i), panel, kPanel, to, c.stride, accumulate);
          continue;
        }
        // The last, ragged panel goes through a tile of its own.
        PanelProduct(rows, depth, strips.At(i), panel, kPanel, edge, kPanel, false);
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t t = 0; t < width; ++t) {
            float& out = to[r * c.stride + t];
            out = edge[r * kPanel + t] + (accumulate ? out : 0.0f);
          }
        }
      }
    }
  }
}

// C [m, n] = (or +=) A [m, k] B [k, n]
template <class B>
void PackedProduct(Strided a, std::int64_t m, const B& b, Rows c, bool add) {
  if (m == 0 || b.n() == 0) return;
  const std::int64_t column_tasks = (b.n() + B::kColumns - 1) / B::kColumns;
  // Tall products are cut into rows too, so that A's share stays in cache. Tasks have whole tiles, so that
  // only the last one can be ragged.
  constexpr std::int64_t rows_per_task = B::kRows / kTileRows * kTileRows;
  const std::int64_t row_tasks = (m + rows_per_task - 1) / rows_per_task;
  ParallelFor(column_tasks * row_tasks, [&](std::int64_t task) {
    const std::int64_t first_n = task / row_tasks * B::kColumns, first_m = task % row_tasks * rows_per_task;
    PackedProductTask(a, b, c, first_m, std::min(rows_per_task, m - first_m), first_n,
                      std::min(B::kColumns, b.n() - first_n), add);
  });
}

inline float Dot(const float* a, const float* b, std::int64_t n) {
  const FloatTag d;
  FloatVec s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    s0 = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), s0);
    s1 = hn::MulAdd(hn::LoadU(d, a + i + kLanes), hn::LoadU(d, b + i + kLanes), s1);
    s2 = hn::MulAdd(hn::LoadU(d, a + i + 2 * kLanes), hn::LoadU(d, b + i + 2 * kLanes), s2);
    s3 = hn::MulAdd(hn::LoadU(d, a + i + 3 * kLanes), hn::LoadU(d, b + i + 3 * kLanes), s3);
  }
  for (; i + kLanes <= n; i += kLanes) s0 = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), s0);
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// The C++ type of a float type's elements.
template <Type kType>
using ElementOf =
    std::conditional_t<kType == Type::kF32, float,
                       std::conditional_t<kType == Type::kF16, hwy::float16_t, hwy::bfloat16_t>>;

template <class T>
HWY_INLINE FloatVec LoadFloats(const T* from) {
  if constexpr (std::is_same_v<T, float>)
    return hn::LoadU(FloatTag(), from);
  else
    return hn::PromoteTo(FloatTag(), hn::LoadU(hn::Rebind<T, FloatTag>(), from));
}

// Dot of kRows rows of x, `stride` apart, with one row of a weight, which is widened as it is read. Each sum
// is Dot's, to the bit.
template <int kRows, Type kType>
HWY_INLINE void DotsWith(const float* x, std::int64_t stride, const ElementOf<kType>* w, std::int64_t n,
                         float* sums) {
  using T = ElementOf<kType>;
  // The processor's own prefetching falls behind where two threads read.
  constexpr std::int64_t kAhead = (16 << 10) / sizeof(T), kLine = 64 / sizeof(T);
  const FloatTag d;
  FloatVec s[kRows][4];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) s[r][0] = s[r][1] = s[r][2] = s[r][3] = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (std::int64_t line = 0; line < 4 * kLanes; line += kLine) __builtin_prefetch(w + i + kAhead + line);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const FloatVec weights = LoadFloats(w + i + k * kLanes);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        s[r][k] = hn::MulAdd(hn::LoadU(d, x + r * stride + i + k * kLanes), weights, s[r][k]);
    }
  }
  for (; i + kLanes <= n; i += kLanes) {
    const FloatVec weights = LoadFloats(w + i);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) s[r][0] = hn::MulAdd(hn::LoadU(d, x + r * stride + i), weights, s[r][0]);
  }
  float tail[kLanes];
  const std::int64_t rest = n - i;
  DecodeRow(kType, reinterpret_cast<const std::byte*>(w + i), tail, rest);
  for (int r = 0; r < kRows; ++r) {
    float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s[r][0], s[r][1]), hn::Add(s[r][2], s[r][3]))));
    for (std::int64_t j = 0; j < rest; ++j) sum += x[r * stride + i + j] * tail[j];
    sums[r] = sum;
  }
}

// A few rows: the weight is read once, row by row.
template <Type kType>
void FewRowsOfFloats(ConstRows x, const Tensor& w, Rows y, bool add) {
  constexpr std::int64_t kRowsPerTask = 64;
  ParallelFor((w.rows() + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    const std::int64_t end = std::min(w.rows(), (task + 1) * kRowsPerTask);
    for (std::int64_t o = task * kRowsPerTask; o < end; ++o) {
      const auto* row = reinterpret_cast<const ElementOf<kType>*>(w.row(o).data());
      float sums[kPackFromRows];
      std::int64_t i = 0;
      for (; i + 2 <= x.rows; i += 2) DotsWith<2, kType>(x[i].data(), x.stride, row, w.cols(), sums + i);
      if (i < x.rows) DotsWith<1, kType>(x[i].data(), x.stride, row, w.cols(), sums + i);
      for (i = 0; i < x.rows; ++i) y.at(i, o) = add ? y.at(i, o) + sums[i] : sums[i];
    }
  });
}

inline void FewRowsMatMul(ConstRows x, const Tensor& w, Rows y, bool add) {
  switch (w.type()) {
    case Type::kF32: return FewRowsOfFloats<Type::kF32>(x, w, y, add);
    case Type::kF16: return FewRowsOfFloats<Type::kF16>(x, w, y, add);
    case Type::kBF16: return FewRowsOfFloats<Type::kBF16>(x, w, y, add);
    default: break;
  }
  constexpr std::int64_t kRowsPerTask = 64;
  const std::int64_t tasks = (w.rows() + kRowsPerTask - 1) / kRowsPerTask;
  ParallelFor(tasks, [&](std::int64_t task) {
    static thread_local AlignedVector<float> decoded;
    decoded.resize(w.cols());
    const std::int64_t end = std::min(w.rows(), (task + 1) * kRowsPerTask);
    for (std::int64_t o = task * kRowsPerTask; o < end; ++o) {
      Decode(w.type(), w.row(o).data(), decoded.data(), w.cols());
      for (std::int64_t i = 0; i < x.rows; ++i) {
        const float sum = Dot(x[i].data(), decoded.data(), w.cols());
        y.at(i, o) = add ? y.at(i, o) + sum : sum;
      }
    }
  });
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
