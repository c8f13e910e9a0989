// Products of one row of x, or of a few: codes go from the registers where they are unpacked into the
// products of all rows, strip after strip.
#if defined(LONGSPAN_KERNELS_INT8_FEW_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_FEW_ROWS_INL_H_
#undef LONGSPAN_KERNELS_INT8_FEW_ROWS_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_FEW_ROWS_INL_H_
#endif

#include <hwy/highway.h>

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

// Each row takes two registers, for its integer sum and its float sum. The others hold codes and scales.
inline constexpr int kFewRows = kVnni ? 8 : 4;

// Computes the strips [first, end) for the `count` rows of x, at most kRows.
template <class W, int kRows>
void FewRows(const RoundedRows& x, const Product& product, std::int64_t first, std::int64_t end, std::int64_t,
             std::int64_t count, const Ahead& next) {
  const Strips<W> w(*product.weight);
  HWY_ALIGN std::uint32_t scratch[Strips<W>::kSlabBytes / 4];
  for (std::int64_t strip = first; strip < end; ++strip) {
    FloatVec sum[kRows][1];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r][0] = hn::Zero(FloatTag());
    Ahead ahead;
    for (std::int64_t slab = 0; slab < w.slabs(); ++slab) {
      if (slab % kSlabsAtOnce == 0) {
        ahead = slab + kSlabsAtOnce < w.slabs() ? w.Memory(strip, 1, slab + kSlabsAtOnce, kSlabsAtOnce)
                : strip + 1 < end               ? w.Memory(strip + 1, 1, 0, kSlabsAtOnce)
                                                : next;
      }
      const std::int64_t groups = w.groups(slab);
      const Slab packed = w.Read(strip, slab, scratch);
      const SlabScales<W> weight(packed, groups);
      const RoundedRow row(x, slab, 0);
      ForEachGroup<W>(
          packed, groups, [&](std::int64_t g, const WordVec(&codes)[8]) __attribute__((always_inline)) {
            ahead.Ask<Lines<W>(1, RoundedRows::kGroups)>();
#pragma GCC unroll 2
            for (int part = 0; part < 32 / W::kGroup; ++part) {
              const auto word = [&](int, int step) __attribute__((always_inline)) {
                return codes[part * W::kGroup / 4 + step];
              };
              AddGroup<W, kRows, 1>(row, g * (32 / W::kGroup) + part, word, {weight.scales}, {weight.minima},
                                    sum);
            }
          });
    }
    // Rows past the last have results, too, of whatever lies there (RoundedRows::kSpareRows).
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      if (r >= count) break;
      WriteOutputs(sum[r][0], w.rows() - strip * kLanes, product.store == Store::kAdd,
                   &product.y.at(r, strip * kLanes));
    }
  }
}

// Sanitizers make these functions so large that compiling all of them takes most of CI's hour.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kEveryFunction = false;
#else
inline constexpr bool kEveryFunction = true;
#endif

// For `rows` rows, at most kFewRows. Some numbers share a function, because each is a lot of code: rows past
// the last cost time, but change nothing.
template <class W>
Job::Run FewRowsFor(std::int64_t rows) {
  if (rows == 1) return FewRows<W, 1>;
  if constexpr (kEveryFunction) {
    if (rows == 2) return FewRows<W, 2>;
    if constexpr (kFewRows > 4) {
      if (rows <= 4) return FewRows<W, 4>;
      if (rows <= 6) return FewRows<W, 6>;
    }
  }
  return FewRows<W, kFewRows>;
}

template <class W>
Ahead FewRowsMemory(const Product& product, std::int64_t strip) {
  return Strips<W>(*product.weight).Memory(strip, 1, 0, kSlabsAtOnce);
}

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
#if HWY_TARGET <= HWY_AVX3_DL
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#endif
