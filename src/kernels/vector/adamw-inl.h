// AdamW, with its moments in floats and in bytes.
#if defined(LONGSPAN_KERNELS_VECTOR_ADAMW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_ADAMW_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_ADAMW_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_ADAMW_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "kernels/byte_moments.h"
#include "kernels/kernels.h"
#include "kernels/vector/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

inline void AdamWPiece(const AdamWStep& s, std::int64_t n, const float* gradient, float* m, float* v,
                       float* parameter) {
  const FloatTag d;
  const FloatVec beta1 = hn::Set(d, s.beta1), rest1 = hn::Set(d, 1 - s.beta1);
  const FloatVec beta2 = hn::Set(d, s.beta2), rest2 = hn::Set(d, 1 - s.beta2);
  const FloatVec rate = hn::Set(d, s.learning_rate), decay = hn::Set(d, s.weight_decay);
  const FloatVec epsilon = hn::Set(d, s.epsilon);
  const FloatVec unbias1 = hn::Set(d, 1 / s.correction1), unbias2 = hn::Set(d, 1 / s.correction2);
  Map(
      n, m, [&](FloatVec old, FloatVec x) { return hn::MulAdd(beta1, old, hn::Mul(rest1, x)); }, m, gradient);
  Map(
      n, v, [&](FloatVec old, FloatVec x) { return hn::MulAdd(beta2, old, hn::Mul(rest2, hn::Mul(x, x))); },
      v, gradient);
  Map(
      n, parameter,
      [&](FloatVec old, FloatVec mean, FloatVec square) {
        const FloatVec root = hn::Sqrt(hn::Mul(square, unbias2));
        const FloatVec update = hn::Div(hn::Mul(mean, unbias1), hn::Add(root, epsilon));
        return hn::NegMulAdd(rate, hn::MulAdd(decay, old, update), old);
      },
      parameter, m, v);
}

inline void AdamWElements(const AdamWStep& s, std::span<const float> gradient, std::span<float> m,
                          std::span<float> v, std::span<float> parameter) {
  ForPieces(std::ssize(parameter), kElementPiece, [&](std::int64_t first, std::int64_t count) {
    AdamWPiece(s, count, gradient.data() + first, m.data() + first, v.data() + first,
               parameter.data() + first);
  });
}

using ByteTag = hn::Rebind<std::uint8_t, FloatTag>;
using CodeTag = hn::RebindToSigned<FloatTag>;
using CodeVec = hn::Vec<CodeTag>;

// x [n], n at most kMomentBlock.
inline void DecodeMoments(const MomentCodes& codes, const std::uint8_t* from, float scale, std::int64_t n,
                          float* x) {
  const FloatVec factor = hn::Set(FloatTag(), scale);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const CodeVec code = hn::PromoteTo(CodeTag(), hn::LoadU(ByteTag(), from + i));
    hn::StoreU(hn::Mul(hn::GatherIndex(FloatTag(), codes.values.data(), code), factor), FloatTag(), x + i);
  }
  for (; i < n; ++i) x[i] = codes.values[from[i]] * scale;
}

// Returns the scale.
inline float EncodeMoments(const MomentCodes& codes, const float* x, std::int64_t n, std::uint8_t* to) {
  const FloatTag d;
  const CodeTag di;
  FloatVec most = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) most = hn::Max(most, hn::Abs(hn::LoadU(d, x + i)));
  float largest = hn::GetLane(hn::MaxOfLanes(d, most));
  for (; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  const float inverse = largest > 1e-37f ? 1 / largest : 0;  // below it the inverse overflows
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const FloatVec value = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, inverse));
    CodeVec code = hn::Zero(di);
    for (int step = 128; step > 0; step /= 2) {
      const FloatVec limit = hn::GatherIndex(d, codes.limits.data() + step - 1, code);
      code = hn::Add(code, hn::IfThenElseZero(hn::RebindMask(di, hn::Gt(value, limit)), hn::Set(di, step)));
    }
    const FloatVec nearest = hn::GatherIndex(d, codes.values.data(), code);
    const auto loses_sign = hn::And(hn::Lt(value, hn::Zero(d)), hn::Eq(nearest, hn::Zero(d)));
    const auto has_lower = hn::Gt(code, hn::Zero(di));
    const auto lower = hn::And(hn::RebindMask(di, loses_sign), has_lower);
    code = hn::Sub(code, hn::IfThenElseZero(lower, hn::Set(di, 1)));
    hn::StoreU(hn::DemoteTo(ByteTag(), code), ByteTag(), to + i);
  }
  for (; i < n; ++i) to[i] = codes.Nearest(x[i] * inverse);
  return largest;
}

inline void AdamWByteBlocks(const AdamWStep& s, std::span<const float> gradient, const ByteMoments& moments,
                            std::span<float> parameter) {
  static_assert(kElementPiece % kMomentBlock == 0);
  const MomentCodes &of_m = SignedMomentCodes(), &of_v = UnsignedMomentCodes();
  ForPieces(std::ssize(parameter), kElementPiece, [&](std::int64_t begin, std::int64_t size) {
    for (std::int64_t first = begin; first < begin + size; first += kMomentBlock) {
      const std::int64_t n = std::min(kMomentBlock, begin + size - first), block = first / kMomentBlock;
      HWY_ALIGN float m[kMomentBlock], v[kMomentBlock];
      DecodeMoments(of_m, &moments.m[first], moments.m_scales[block], n, m);
      DecodeMoments(of_v, &moments.v[first], moments.v_scales[block], n, v);
      AdamWPiece(s, n, &gradient[first], m, v, &parameter[first]);
      moments.m_scales[block] = EncodeMoments(of_m, m, n, &moments.m[first]);
      moments.v_scales[block] = EncodeMoments(of_v, v, n, &moments.v[first]);
    }
  });
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
