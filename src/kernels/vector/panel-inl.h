// The one inner product loop, which matrix products and attention share.
//
// A panel is a matrix whose rows are kPanel floats wide: two vectors. C [m, kPanel] = A [m, k] B [k, kPanel],
// where B and C are panels (their rows may lie further apart) and A is read one element at a time, by any
// strides, each element broadcast to a whole row. kTileRows rows of C stay in registers while k runs.
#if defined(LONGSPAN_KERNELS_VECTOR_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_PANEL_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_PANEL_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_PANEL_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;

inline constexpr std::int64_t kLanes = HWY_MAX_BYTES / sizeof(float);
inline constexpr std::int64_t kPanel = 2 * kLanes;
// Two vectors a row, and room for two of B and one of A: 32 registers on AVX-512, 16 before.
inline constexpr int kTileRows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;

// Where A's element (i, j) is: data + i * row_stride + j * column_stride.
struct Strided {
  const float* data;
  std::int64_t row_stride;
  std::int64_t column_stride;
};

template <int kRows>
HWY_INLINE void PanelTile(std::int64_t k, const Strided& a, const float* HWY_RESTRICT b,
                          std::int64_t b_stride, float* HWY_RESTRICT c, std::int64_t c_stride, bool add) {
  const FloatTag d;
  FloatVec low[kRows], high[kRows];
  if (add) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      low[i] = hn::LoadU(d, c + i * c_stride);
      high[i] = hn::LoadU(d, c + i * c_stride + kLanes);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) low[i] = high[i] = hn::Zero(d);
  }
  // Every third row has a pointer of its own, because the processor addresses one stride and twice it for
  // free.
  const std::int64_t stride = a.row_stride;
  const float* pointers[(kRows + 2) / 3];
#pragma GCC unroll 16
  for (int i = 0; i < (kRows + 2) / 3; ++i) pointers[i] = a.data + 3 * i * stride;
  for (std::int64_t j = 0; j < k; ++j) {
    const FloatVec b_low = hn::LoadU(d, b), b_high = hn::LoadU(d, b + kLanes);
    b += b_stride;
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const FloatVec x = hn::Set(d, pointers[i / 3][i % 3 * stride]);
      low[i] = hn::MulAdd(x, b_low, low[i]);
      high[i] = hn::MulAdd(x, b_high, high[i]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < (kRows + 2) / 3; ++i) pointers[i] += a.column_stride;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    hn::StoreU(low[i], d, c + i * c_stride);
    hn::StoreU(high[i], d, c + i * c_stride + kLanes);
  }
}

using PanelTileFunction = void (*)(std::int64_t, const Strided&, const float*, std::int64_t, float*,
                                   std::int64_t, bool);

template <int kRows>
HWY_NOINLINE void PanelTileOf(std::int64_t k, const Strided& a, const float* b, std::int64_t b_stride,
                              float* c, std::int64_t c_stride, bool add) {
  PanelTile<kRows>(k, a, b, b_stride, c, c_stride, add);
}

// The ragged last tile has 1 to kTileRows - 1 rows.
inline PanelTileFunction PanelTileFor(std::int64_t rows) {
  static constexpr PanelTileFunction kTiles[] = {
    PanelTileOf<1>,
    PanelTileOf<2>,
    PanelTileOf<3>,
    PanelTileOf<4>,
    PanelTileOf<5>,
    PanelTileOf<6>,
#if HWY_TARGET <= HWY_AVX3
    PanelTileOf<7>,
    PanelTileOf<8>,
    PanelTileOf<9>,
    PanelTileOf<10>,
    PanelTileOf<11>,
    PanelTileOf<12>,
#endif
  };
  return kTiles[rows - 1];
}

// C [m, kPanel] = (or +=) A [m, k] B [k, kPanel]
inline void PanelProduct(std::int64_t m, std::int64_t k, Strided a, const float* b, std::int64_t b_stride,
                         float* c, std::int64_t c_stride, bool add) {
  while (m > 0) {
    const std::int64_t rows = m < kTileRows ? m : kTileRows;
    PanelTileFor(rows)(k, a, b, b_stride, c, c_stride, add);
    a.data += rows * a.row_stride;
    c += rows * c_stride;
    m -= rows;
  }
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
