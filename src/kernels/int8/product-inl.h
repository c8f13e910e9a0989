// The product of int8_products.h. A strip is kLanes rows of the weight, one a lane: scales, minima and sums
// of kLanes outputs are then whole vectors, and no output needs a horizontal sum in floats.
#if defined(LONGSPAN_KERNELS_INT8_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_PRODUCT_INL_H_
#undef LONGSPAN_KERNELS_INT8_PRODUCT_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_PRODUCT_INL_H_
#endif

#include <hwy/highway.h>
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/int8/ahead-inl.h"
#include "kernels/int8/codes-inl.h"
#include "kernels/int8/dots-inl.h"
#include "kernels/int8/rounded_rows.h"
#include "tensor/rows.h"
#include "tensor/tensor.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET <= HWY_AVX3_DL
// Highway 1.0 leaves VNNI out of this target, though it asks the processor for it.
#pragma GCC push_options
#pragma GCC target("avx512vnni")
#endif
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// Rows of x that one task multiplies by its strips.
inline constexpr std::int64_t kRowBlock = 512;
// Slabs of a row that are read or prefetched before the next row's. A weight is then read nearly in the order
// in which it lies, which is fastest.
inline constexpr std::int64_t kSlabsAtOnce = 16;
// One row's memory is prefetched in two steps: first like all memory, then, this many bytes ahead, into the
// first-level cache.
inline constexpr std::int64_t kNear = 768;

// The scales and minima of one slab of a strip.
template <class W>
struct StripSlab {
  static constexpr int kScales = RoundedRows::kSlab / W::kGroup;
  // [kScales, kLanes]
  HWY_ALIGN float scales[kScales * kLanes];
  HWY_ALIGN float minima[W::kMinima ? kScales * kLanes : kLanes];

  StripSlab(const std::uint8_t* data, std::int64_t row_bytes, std::int64_t rows, std::int64_t groups) {
    W::Scales(RowWords(data, row_bytes, rows), groups, scales, minima);
  }
};

// The data of one row of x for a slab.
struct RoundedRow {
  const std::int8_t* codes;            // [kSlab]
  const float *scales, *sums;          // [kGroups]
  const std::int32_t *minus, *halves;  // [kGroups], [2 * kGroups]

  RoundedRow(const RoundedRows& x, std::int64_t slab, std::int64_t i) {
    const std::size_t at = x.at(slab, i);
    codes = x.codes.data() + at * RoundedRows::kSlab;
    scales = x.scales.data() + at * RoundedRows::kGroups;
    sums = x.sums.data() + at * RoundedRows::kGroups;
    minus = x.minus_sums.data() + at * RoundedRows::kGroups;
    halves = x.minus_halves.data() + at * 2 * RoundedRows::kGroups;
  }

  // For row r after this one and the weight's scale `group`: minus the sum of the codes that share the scale,
  // and the sum of the values that they stand for.
  template <class W>
  HWY_INLINE std::int32_t MinusSum(int r, std::int64_t group) const {
    return W::kGroup == 32 ? minus[r * RoundedRows::kGroups + group]
                           : halves[r * 2 * RoundedRows::kGroups + group];
  }
  template <class W>
  HWY_INLINE float Sum(int r, std::int64_t group) const {
    if constexpr (W::kGroup == 32)
      return sums[r * RoundedRows::kGroups + group];
    else
      return -Scale<W>(r, group) * static_cast<float>(halves[r * 2 * RoundedRows::kGroups + group]);
  }
  template <class W>
  HWY_INLINE float Scale(int r, std::int64_t group) const {
    return scales[r * RoundedRows::kGroups + group * W::kGroup / 32];
  }
};

constexpr int Log2(int n) { return n <= 1 ? 0 : 1 + Log2(n / 2); }
// Takes the offset off: `minus_sum` is minus the sum of the activations' codes.
template <class W>
HWY_INLINE IntVec WithoutOffset(std::int32_t minus_sum) {
  return hn::ShiftLeft<Log2(W::kOffset)>(hn::Set(IntTag(), minus_sum));
}
// Signed codes have no offset to take off.
template <class W>
inline constexpr bool kHasOffset = W::kOffset > 0 && (kVnni || W::kLargest < 255);

// What a group adds to kLanes outputs, in the one order that all paths keep: first its dots, then its minima.
HWY_INLINE FloatVec AddDot(FloatVec acc, IntVec dot, FloatVec scale, float scale_x) {
  const FloatTag d;
  return hn::MulAdd(hn::ConvertTo(d, dot), hn::Mul(scale, hn::Set(d, scale_x)), acc);
}
HWY_INLINE FloatVec TakeMinimum(FloatVec acc, FloatVec minimum, float sum_x) {
  return hn::NegMulAdd(minimum, hn::Set(FloatTag(), sum_x), acc);
}

// Adds or stores the first `count` lanes.
HWY_INLINE void WriteOutputs(FloatVec v, std::int64_t count, bool add, float* to) {
  const FloatTag d;
  if (count >= kLanes) return hn::StoreU(add ? hn::Add(hn::LoadU(d, to), v) : v, d, to);
  HWY_ALIGN float lanes[kLanes];
  hn::Store(v, d, lanes);
  for (std::int64_t i = 0; i < count; ++i) to[i] = lanes[i] + (add ? to[i] : 0.0f);
}

// The memory that is read after the slabs [slab, slab + kSlabsAtOnce) of `rows` rows: their next slabs, or
// the first ones of the rows from `next` on.
template <class W>
Ahead AfterSlabs(const RoundedRows& x, const Tensor& w, std::int64_t slab, std::int64_t first,
                 std::int64_t next, std::int64_t rows) {
  slab += kSlabsAtOnce;
  if (slab >= x.slabs()) slab = 0, first = next;
  if (first >= w.rows()) return {};
  return {reinterpret_cast<const std::uint8_t*>(w.row(first).data()) + slab * W::kSlabBytes,
          std::min(rows, w.rows() - first), std::min(kSlabsAtOnce, x.slabs() - slab) * W::kSlabBytes,
          w.row_bytes()};
}

// ---- One row of x: dots are taken along rows of the weight as they lie.

// Outputs [first, first + kLanes).
template <class W>
HWY_INLINE void OneRowStrip(const RoundedRows& x, const Tensor& w, std::int64_t first, std::int64_t next,
                            Rows y, bool add) {
  const FloatTag d;
  const std::int64_t rows = std::min(kLanes, w.rows() - first), row_bytes = w.row_bytes();
  const auto* strip = reinterpret_cast<const std::uint8_t*>(w.row(first).data());
  HWY_ALIGN std::int32_t dots[kSlabsAtOnce][kLanes * 16];
  FloatVec acc = hn::Zero(d);
  for (std::int64_t first_slab = 0; first_slab < x.slabs(); first_slab += kSlabsAtOnce) {
    const std::int64_t slabs = std::min(kSlabsAtOnce, x.slabs() - first_slab);
    Ahead ahead = AfterSlabs<W>(x, w, first_slab, first, next, kLanes);
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const std::uint8_t* row = strip + std::min(lane, rows - 1) * row_bytes + first_slab * W::kSlabBytes;
      for (std::int64_t s = 0; s < slabs; ++s) {
        const std::uint8_t* slab = row + s * W::kSlabBytes;
        AskNear<W::kSlabBytes>(slab + kNear);
        ahead.Ask<kAsk<W, kLanes>>();
        const RowCodes<W> codes(slab, x.groups(first_slab + s));
        codes.Dots(x.codes.data() + x.at(first_slab + s, 0) * RoundedRows::kSlab, dots[s] + lane * 16);
      }
    }
    for (std::int64_t s = 0; s < slabs; ++s) {
      const std::int64_t slab = first_slab + s, groups = x.groups(slab);
      const StripSlab<W> weight(strip + slab * W::kSlabBytes, row_bytes, rows, groups);
      IntVec columns[16];
      TransposeDots(dots[s], columns);
      const RoundedRow row(x, slab, 0);
      for (std::int64_t group = 0; group < groups * 32 / W::kGroup; ++group) {
        ahead.Ask<kAsk<W, RoundedRows::kSlab / W::kGroup>>();
        IntVec dot = columns[DotColumn(W::kGroup == 32 ? 2 * group : group)];
        if constexpr (W::kGroup == 32) dot = hn::Add(dot, columns[DotColumn(2 * group + 1)]);
        if constexpr (kHasOffset<W>) dot = hn::Add(dot, WithoutOffset<W>(row.template MinusSum<W>(0, group)));
        acc = AddDot(acc, dot, hn::Load(d, weight.scales + group * kLanes), row.template Scale<W>(0, group));
        if constexpr (W::kMinima) {
          acc = TakeMinimum(acc, hn::Load(d, weight.minima + group * kLanes), row.template Sum<W>(0, group));
        }
      }
    }
  }
  WriteOutputs(acc, rows, add, &y.at(0, first));
}

// ---- Several rows of x: codes are transposed, and meet all rows.

template <class W>
inline constexpr bool kHasWords = requires {
  W::kWords;
};

// The packed words of a strip's slab transposed: [kWords, kLanes].
template <class W>
HWY_INLINE void TransposeWords(const std::uint8_t* data, std::int64_t row_bytes, std::int64_t rows,
                               std::uint32_t* words, Ahead& ahead) {
  const WordTag d;
  constexpr std::int64_t kParts = (W::kWords + kLanes - 1) / kLanes, kRows = (kLanes + kParts - 1) / kParts;
  for (std::int64_t part = 0; part < kParts; ++part) {
    ahead.Ask<kAsk<W, kParts>>();
    // The next slab comes into the first-level cache meanwhile.
    for (std::int64_t i = part * kRows; i < std::min(kLanes, (part + 1) * kRows); ++i)
      AskNear<W::kSlabBytes>(data + std::min(i, rows - 1) * row_bytes + W::kSlabBytes);
    // The last vector may begin within the one before: nothing is read past a block.
    const std::int64_t first = std::min(part * kLanes, W::kWords - kLanes);
    WordVec v[kLanes];
#pragma GCC unroll 16
    for (std::int64_t i = 0; i < kLanes; ++i)
      v[i] = LoadWords(data + std::min(i, rows - 1) * row_bytes + W::kWordsAt + 4 * first);
    Transpose(v);
#pragma GCC unroll 16
    for (std::int64_t i = 0; i < kLanes; ++i) hn::Store(v[i], d, words + (first + i) * kLanes);
  }
}

// The codes of a strip's slab transposed: [64, kLanes, 4], four columns of every row after four columns of
// every row.
template <class W>
void TransposeCodes(const std::uint8_t* data, std::int64_t row_bytes, std::int64_t rows, std::int64_t groups,
                    std::uint8_t* panel, Ahead& ahead) {
  if constexpr (kHasWords<W>) {
    HWY_ALIGN std::uint32_t words[W::kWords * kLanes];
    TransposeWords<W>(data, row_bytes, rows, words, ahead);
    return W::Unpack(words, reinterpret_cast<std::uint32_t*>(panel));
  }
#if HWY_TARGET <= HWY_AVX3_DL
  if (groups == 8 &&
      TransposeQuarters<W>(data, row_bytes, rows, reinterpret_cast<std::uint32_t*>(panel), ahead))
    return;
#endif
  HWY_ALIGN std::uint8_t codes[kLanes * RoundedRows::kSlab];
  for (std::int64_t lane = 0; lane < kLanes; ++lane) {
    ahead.Ask<kAsk<W, kLanes>>();
    W::Codes(data + std::min(lane, rows - 1) * row_bytes, groups, codes + lane * RoundedRows::kSlab);
  }
  const WordTag d;
  const auto* words = reinterpret_cast<const std::uint32_t*>(codes);
  auto* to = reinterpret_cast<std::uint32_t*>(panel);
  for (std::int64_t first = 0; first < 8 * groups; first += kLanes) {
    WordVec v[kLanes];
    for (std::int64_t i = 0; i < kLanes; ++i)
      v[i] = hn::Load(d, words + i * (RoundedRows::kSlab / 4) + first);
    Transpose(v);
    for (std::int64_t i = 0; i < kLanes; ++i) hn::Store(v[i], d, to + (first + i) * kLanes);
  }
}

// acc [kRows][stride] += kRows rows of x times kStrips strips, over one slab.
template <class W, int kRows, int kStrips>
HWY_NOINLINE void Tile(std::int64_t groups, const RoundedRow& x, const std::uint8_t* const* panels,
                       const float* const* scales, const float* const* minima, float* acc, Ahead& ahead) {
  const FloatTag d;
  constexpr std::int64_t kStride = kStrips * kLanes;
  constexpr std::int64_t kPanelBytes = 4 * kLanes;
  FloatVec sum[kRows][kStrips];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int s = 0; s < kStrips; ++s) sum[r][s] = hn::Load(d, acc + r * kStride + s * kLanes);
  }
  constexpr int kSteps = W::kGroup / 4;
  for (std::int64_t group = 0; group < groups * 32 / W::kGroup; ++group) {
    ahead.Ask<kStrips * kAsk<W, RoundedRows::kSlab / W::kGroup>>();
    IntVec dot[kRows][kStrips];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      IntVec start = hn::Zero(IntTag());
      if constexpr (kHasOffset<W>) start = WithoutOffset<W>(x.template MinusSum<W>(r, group));
#pragma GCC unroll 2
      for (int s = 0; s < kStrips; ++s) dot[r][s] = start;
    }
    DotPanels<W, kRows, kStrips, kSteps>(x.codes + group * W::kGroup, panels, group * kSteps * kPanelBytes,
                                         dot);
#pragma GCC unroll 2
    for (int s = 0; s < kStrips; ++s) {
      const FloatVec scale = hn::Load(d, scales[s] + group * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r)
        sum[r][s] = AddDot(sum[r][s], dot[r][s], scale, x.template Scale<W>(r, group));
      if constexpr (W::kMinima) {
        const FloatVec minimum = hn::Load(d, minima[s] + group * kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r)
          sum[r][s] = TakeMinimum(sum[r][s], minimum, x.template Sum<W>(r, group));
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int s = 0; s < kStrips; ++s) hn::Store(sum[r][s], d, acc + r * kStride + s * kLanes);
  }
}

// 12 integer sums, as many float sums, panels and a broadcast fill AVX-512's 32 registers. With 16, float
// sums would wait in memory, because they are touched once per group.
inline constexpr int kTileRows = kVnni ? 6 : 4;
inline constexpr int kTileStrips = 2;

template <class W>
using TileFunction = void (*)(std::int64_t, const RoundedRow&, const std::uint8_t* const*,
                              const float* const*, const float* const*, float*, Ahead&);
template <class W>
inline TileFunction<W> TileFor(std::int64_t rows) {
  static constexpr TileFunction<W> kTiles[] = {
    Tile<W, 1, kTileStrips>,
    Tile<W, 2, kTileStrips>,
    Tile<W, 3, kTileStrips>,
    Tile<W, 4, kTileStrips>,
#if HWY_TARGET <= HWY_AVX3_DL
    Tile<W, 5, kTileStrips>,
    Tile<W, 6, kTileStrips>,
#endif
  };
  return kTiles[rows - 1];
}

// Computes outputs [first, first + kTileStrips * kLanes) of the rows [first_row, first_row + count) of x. The
// outputs from `next` on come after these.
template <class W>
void ManyRowsTask(const RoundedRows& x, const Tensor& w, std::int64_t first, std::int64_t next,
                  std::int64_t first_row, std::int64_t count, Rows y, bool add) {
  constexpr std::int64_t kWidth = kTileStrips * kLanes;
  const std::int64_t row_bytes = w.row_bytes();
  static thread_local AlignedVector<float> sums;
  sums.assign(static_cast<std::size_t>(count * kWidth), 0.0f);
  HWY_ALIGN std::uint8_t codes[kTileStrips][kLanes * RoundedRows::kSlab];
  const auto* weights = reinterpret_cast<const std::uint8_t*>(w.row(first).data());
  Ahead ahead;
  for (std::int64_t slab = 0; slab < x.slabs(); ++slab) {
    if (slab % kSlabsAtOnce == 0) ahead = AfterSlabs<W>(x, w, slab, first, next, kWidth);
    const std::int64_t groups = x.groups(slab);
    const auto strip = [&](std::int64_t s) {
      // A strip past the last row repeats the one before; its outputs are not written.
      const std::int64_t skipped = first + s * kLanes < w.rows() ? s * kLanes : 0;
      const std::int64_t rows = std::min(kLanes, w.rows() - first - skipped);
      const std::uint8_t* data = weights + skipped * row_bytes + slab * W::kSlabBytes;
      TransposeCodes<W>(data, row_bytes, rows, groups, codes[s], ahead);
      return StripSlab<W>(data, row_bytes, rows, groups);
    };
    const StripSlab<W> strips[kTileStrips] = {strip(0), strip(1)};
    const std::uint8_t* const panels[] = {codes[0], codes[1]};
    const float* const scales[] = {strips[0].scales, strips[1].scales};
    const float* const minima[] = {strips[0].minima, strips[1].minima};
    // Tiles of about the same height: a low one costs almost as much as a full one.
    std::int64_t tiles = (count + kTileRows - 1) / kTileRows;
    for (std::int64_t i = 0, rows = 0; i < count; i += rows, --tiles) {
      rows = (count - i + tiles - 1) / tiles;
      TileFor<W>(rows)(groups, RoundedRow(x, slab, first_row + i), panels, scales, minima,
                       sums.data() + i * kWidth, ahead);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t s = 0; s < kTileStrips && first + s * kLanes < w.rows(); ++s) {
      WriteOutputs(hn::Load(FloatTag(), sums.data() + i * kWidth + s * kLanes), w.rows() - first - s * kLanes,
                   add, &y.at(first_row + i, first + s * kLanes));
    }
  }
}

template <class W>
void Product(const RoundedRows& x, const Tensor& w, Rows y, bool add) {
  const auto pieces = [](std::int64_t n, std::int64_t size) { return (n + size - 1) / size; };
  if (x.rows == 1) {
    return ForEachAhead(pieces(w.rows(), kLanes), [&](std::int64_t task, std::int64_t next) {
      OneRowStrip<W>(x, w, task * kLanes, next * kLanes, y, add);
    });
  }
  constexpr std::int64_t kWidth = kTileStrips * kLanes;
  constexpr std::int64_t rows_per_task = kRowBlock / kTileRows * kTileRows;
  const std::int64_t row_tasks = pieces(x.rows, rows_per_task);
  ForEachAhead(pieces(w.rows(), kWidth) * row_tasks, [&](std::int64_t task, std::int64_t next) {
    const std::int64_t first_row = task % row_tasks * rows_per_task;
    ManyRowsTask<W>(x, w, task / row_tasks * kWidth, next / row_tasks * kWidth, first_row,
                    std::min(rows_per_task, x.rows - first_row), y, add);
  });
}

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
#if HWY_TARGET <= HWY_AVX3_DL
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#endif
