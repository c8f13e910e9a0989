// Products of many rows of x: codes are unpacked once, and meet all rows.
#if defined(LONGSPAN_KERNELS_INT8_MANY_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_MANY_ROWS_INL_H_
#undef LONGSPAN_KERNELS_INT8_MANY_ROWS_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_MANY_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "base/memory.h"
#include "kernels/int8/ahead-inl.h"
#include "kernels/int8/job-inl.h"
#include "kernels/int8/slab_product-inl.h"
#include "kernels/int8/strips-inl.h"
#include "kernels/kernels.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET <= HWY_AVX3_DL
#pragma GCC push_options
#pragma GCC target("avx512vnni")  // as in dots-inl.h
#endif
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// Codes of a strip's slab: [64, kLanes] words.
inline constexpr std::int64_t kPanelWords = RoundedRows::kSlab / 4 * kLanes;

// acc [kRows][stride] += kRows rows of x times kStrips strips, over one slab.
template <class W, int kRows, int kStrips>
HWY_NOINLINE void Tile(std::int64_t groups, const RoundedRow& x, const std::uint32_t* panels,
                       const SlabScales<W>* weights, float* acc, Ahead& ahead) {
  const FloatTag d;
  constexpr std::int64_t kStride = kStrips * kLanes;
  const float* scales[kStrips];
  const float* minima[kStrips];
  for (int s = 0; s < kStrips; ++s) scales[s] = weights[s].scales, minima[s] = weights[s].minima;
  FloatVec sum[kRows][kStrips];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int s = 0; s < kStrips; ++s) sum[r][s] = hn::Load(d, acc + r * kStride + s * kLanes);
  }
  for (std::int64_t group = 0; group < groups * 32 / W::kGroup; ++group) {
    ahead.Ask<Lines<W>(kStrips, RoundedRows::kSlab / W::kGroup)>();
    const std::uint32_t* panel = panels + group * (W::kGroup / 4) * kLanes;
    const auto word = [&](int s, int step) __attribute__((always_inline)) {
      return hn::Load(WordTag(), panel + s * kPanelWords + step * kLanes);
    };
    AddGroup<W, kRows, kStrips>(x, group, word, scales, minima, sum);
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
using TileFunction = void (*)(std::int64_t, const RoundedRow&, const std::uint32_t*, const SlabScales<W>*,
                              float*, Ahead&);
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

// Computes the two strips [first, end), or one, for the rows [first_row, first_row + count) of x.
template <class W>
void ManyRows(const RoundedRows& x, const Product& product, std::int64_t first, std::int64_t end,
              std::int64_t first_row, std::int64_t count, const Ahead& next) {
  constexpr std::int64_t kWidth = kTileStrips * kLanes;
  const Strips<W> w(*product.weight);
  static thread_local AlignedVector<float> sums;
  sums.assign(static_cast<std::size_t>(count * kWidth), 0.0f);
  HWY_ALIGN std::uint32_t panels[kTileStrips * kPanelWords], scratch[Strips<W>::kSlabBytes / 4];
  Ahead ahead;
  for (std::int64_t slab = 0; slab < w.slabs(); ++slab) {
    if (slab % kSlabsAtOnce == 0) {
      ahead = slab + kSlabsAtOnce < w.slabs()
                  ? w.Memory(first, kTileStrips, slab + kSlabsAtOnce, kSlabsAtOnce)
                  : next;
    }
    const std::int64_t groups = w.groups(slab);
    const auto strip = [&](std::int64_t s) {
      // Past the last strip the one before is repeated; its outputs are not written.
      const Slab packed = w.Read(std::min(first + s, end - 1), slab, scratch);
      std::uint32_t* panel = panels + s * kPanelWords;
      ForEachGroup<W>(
          packed, groups, [&](std::int64_t g, const WordVec(&codes)[8]) __attribute__((always_inline)) {
#pragma GCC unroll 8
            for (int i = 0; i < 8; ++i) hn::Store(codes[i], WordTag(), panel + (8 * g + i) * kLanes);
          });
      return SlabScales<W>(packed, groups);
    };
    const SlabScales<W> weights[kTileStrips] = {strip(0), strip(1)};
    // Tiles of about the same height: a low one costs almost as much as a full one.
    std::int64_t tiles = (count + kTileRows - 1) / kTileRows;
    for (std::int64_t i = 0, rows = 0; i < count; i += rows, --tiles) {
      rows = (count - i + tiles - 1) / tiles;
      TileFor<W>(rows)(groups, RoundedRow(x, slab, first_row + i), panels, weights, sums.data() + i * kWidth,
                       ahead);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t s = 0; s < end - first; ++s) {
      const std::int64_t row = (first + s) * kLanes;
      WriteOutputs(hn::Load(FloatTag(), sums.data() + i * kWidth + s * kLanes), w.rows() - row,
                   product.store == Store::kAdd, &product.y.at(first_row + i, row));
    }
  }
}

template <class W>
Ahead ManyRowsMemory(const Product& product, std::int64_t strip) {
  return Strips<W>(*product.weight).Memory(strip, kTileStrips, 0, kSlabsAtOnce);
}

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
#if HWY_TARGET <= HWY_AVX3_DL
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#endif
