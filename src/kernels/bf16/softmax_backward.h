// The backward pass of the softmax, down the columns of scores (Dao et al. 2022, appendix B.2):
// probabilities P = 2^(S - L), with L the log-sum-exp that the forward pass kept, and the gradient of the
// scores dS = P (dP - D), with D the sum of P dP over a column.
//
// S and dP are [64 keys, 32 columns] in tiles [4][2]. P and dS become left operands, whose step is the panel;
// dS also becomes a right operand, as the numerators of softmax.h.
//
// Included where the compiler may use AVX-512.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/bf16/softmax.h"
#include "kernels/bf16/tiles.h"
#include "kernels/bf16/vectors.h"

namespace longspan::bf16 {

// 32 columns with what their softmax's backward pass needs.
struct GradientPanel : SeenKeys {
  alignas(64) std::array<float, kPanel> log_sum_exp;  // L, in powers of two
  alignas(64) std::array<float, kPanel> dot;          // D
};

// Takes one block, two keys a step, so that it can be done between products of tiles.
class SoftmaxBackward {
 public:
  static constexpr std::int64_t kSteps = kKvBlock / 2;

  // Where results go: p and ds have their tiles of 16 keys left_stride bytes apart.
  struct Results {
    std::byte *p, *ds;
    std::int64_t left_stride;
    std::byte* ds_right;
  };

  SoftmaxBackward(const GradientPanel& panel, const float* scores, const float* dp, const Results& to)
      : panel_(panel), scores_(scores), dp_(dp), to_(to) {}

  // The next `count` steps, or what is left of them.
  [[gnu::always_inline]] void Advance(std::int64_t count) {
    const std::int64_t end = std::min(next_ + count, kSteps);
    const float *lse = panel_.log_sum_exp.data(), *dot = panel_.dot.data();
    const __m512 lse0 = _mm512_load_ps(lse), lse1 = _mm512_load_ps(lse + kTileRows);
    const __m512 dot0 = _mm512_load_ps(dot), dot1 = _mm512_load_ps(dot + kTileRows);
    for (; next_ < end; ++next_) {
      const std::int64_t tile = next_ / (kTileRows / 2), row = next_ % (kTileRows / 2) * 2;
      const std::int64_t at = tile * 2 * kTileFloats + row * kTileRows;
      const std::int64_t left = tile * to_.left_stride + row * kTileRowBytes;
      __m512 ds[2][2];  // [key][half of the columns]
#pragma GCC unroll 2
      for (int key = 0; key < 2; ++key) {
        const std::int64_t from = at + key * kTileRows;
        const __m512 p0 = Exp2(_mm512_sub_ps(_mm512_load_ps(scores_ + from), lse0));
        const __m512 p1 = Exp2(_mm512_sub_ps(_mm512_load_ps(scores_ + from + kTileFloats), lse1));
        ds[key][0] = _mm512_mul_ps(p0, _mm512_sub_ps(_mm512_load_ps(dp_ + from), dot0));
        ds[key][1] = _mm512_mul_ps(p1, _mm512_sub_ps(_mm512_load_ps(dp_ + from + kTileFloats), dot1));
        _mm512_store_si512(to_.p + left + key * kTileRowBytes, ToBf16(p0, p1));
        _mm512_store_si512(to_.ds + left + key * kTileRowBytes, ToBf16(ds[key][0], ds[key][1]));
      }
      std::byte* right = to_.ds_right + next_ * kTileRowBytes;
      _mm512_store_si512(right, PairsOf(ds[0][0], ds[1][0]));
      _mm512_store_si512(right + 2 * kTileBytes, PairsOf(ds[0][1], ds[1][1]));
    }
  }

 private:
  const GradientPanel& panel_;
  const float *scores_, *dp_;
  const Results to_;
  std::int64_t next_ = 0;
};

}  // namespace longspan::bf16
