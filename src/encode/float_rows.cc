#include "encode/float_rows.h"

#include "base/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "encode/float_rows.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include <bit>
#include <limits>

#include "tensor/codec.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int kSums = 16;  // sums side by side: element i belongs to sum i mod 16
using DoubleTag = hn::CappedTag<double, kSums>;
constexpr int kDoubles = static_cast<int>(hn::MaxLanes(DoubleTag()));
constexpr int kVectors = kSums / kDoubles;

}  // namespace

void Halves(const std::byte* from, float* to, std::int64_t elements) {
  std::int64_t i = 0;
#if HWY_TARGET <= HWY_AVX2  // the others have no instruction for it
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> d16;
  const hn::Repartition<std::uint8_t, decltype(d16)> bytes;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (; i + lanes <= elements; i += lanes) {
    const auto raw = hn::LoadU(bytes, reinterpret_cast<const std::uint8_t*>(from + 2 * i));
    hn::StoreU(hn::PromoteTo(d, hn::BitCast(d16, raw)), d, to + i);
  }
#endif
  if (i < elements) DecodeRow(Type::kF16, from + 2 * i, to + i, elements - i);
}

// Compares bits, without branches. Magnitudes are ordered as their bits are, with infinity and NaN above all
// others. Adding `step` to the bits of a magnitude above `largest` makes them overflow into the sign.
bool Within(const float* x, std::int64_t elements, float largest) {
  constexpr std::uint32_t kMagnitude = 0x7fffffff, kSign = 0x80000000;
  const std::uint32_t step = kMagnitude - std::bit_cast<std::uint32_t>(largest);
  const hn::CappedTag<float, 16> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto overflows = hn::Zero(du);
  std::int64_t i = 0;
  for (; i + lanes <= elements; i += lanes) {
    const auto bits = hn::BitCast(du, hn::LoadU(d, x + i));
    overflows = hn::Or(overflows, hn::Add(hn::And(bits, hn::Set(du, kMagnitude)), hn::Set(du, step)));
  }
  std::uint32_t rest = 0;
  for (; i < elements; ++i) rest |= (std::bit_cast<std::uint32_t>(x[i]) & kMagnitude) + step;
  return rest < kSign && hn::AllTrue(du, hn::Eq(hn::And(overflows, hn::Set(du, kSign)), hn::Zero(du)));
}

void Squares(const float* x, const float* y, std::int64_t elements, EncodingError& sums) {
  const DoubleTag d;
  const hn::Rebind<float, DoubleTag> df;
  hn::Vec<DoubleTag> error[kVectors], sum[kVectors];
  for (int v = 0; v < kVectors; ++v) error[v] = sum[v] = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + kSums <= elements; i += kSums) {
    for (int v = 0; v < kVectors; ++v) {
      const auto a = hn::PromoteTo(d, hn::LoadU(df, x + i + kDoubles * v));
      const auto miss = hn::Sub(a, hn::PromoteTo(d, hn::LoadU(df, y + i + kDoubles * v)));
      error[v] = hn::Add(error[v], hn::Mul(miss, miss));
      sum[v] = hn::Add(sum[v], hn::Mul(a, a));
    }
  }
  alignas(64) double errors[kSums], squares[kSums];
  for (int v = 0; v < kVectors; ++v) {
    hn::Store(error[v], d, errors + kDoubles * v);
    hn::Store(sum[v], d, squares + kDoubles * v);
  }
  for (; i < elements; ++i) {
    const double miss = double{x[i]} - y[i];
    errors[i % kSums] += miss * miss;
    squares[i % kSums] += double{x[i]} * x[i];
  }
  for (int k = 0; k < kSums; ++k) {
    sums.squared_error += errors[k];
    sums.squared_sum += squares[k];
  }
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

HWY_EXPORT(Halves);
HWY_EXPORT(Within);
HWY_EXPORT(Squares);

void DecodeHalves(const std::byte* from, float* to, std::int64_t elements) {
  HWY_DYNAMIC_DISPATCH(Halves)(from, to, elements);
}
bool AllWithin(const float* x, std::int64_t elements, float largest) {
  return HWY_DYNAMIC_DISPATCH(Within)(x, elements, largest);
}
bool AllFinite(const float* x, std::int64_t elements) {
  return AllWithin(x, elements, std::numeric_limits<float>::max());
}
void AddSquares(const float* x, const float* y, std::int64_t elements, EncodingError& sums) {
  HWY_DYNAMIC_DISPATCH(Squares)(x, y, elements, sums);
}

}  // namespace longspan
#endif
