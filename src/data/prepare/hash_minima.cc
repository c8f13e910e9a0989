#include "data/prepare/hash_minima.h"

#include "base/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "data/prepare/hash_minima.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<std::uint32_t, 16>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(Tag()));
constexpr int kVectors = 7;  // side by side, which hides the multiplication's latency
static_assert(kMinHashes % (kVectors * kLanes) == 0);

}  // namespace

void Lower(std::span<const std::uint32_t> shingles, const HashFunctions& functions, HashMinima& minima) {
  const Tag d;
  for (int first = 0; first < kMinHashes; first += kVectors * kLanes) {
    hn::Vec<Tag> a[kVectors], b[kVectors], least[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      a[v] = hn::Load(d, &functions.a[first + v * kLanes]);
      b[v] = hn::Load(d, &functions.b[first + v * kLanes]);
      least[v] = hn::Load(d, &minima.values[first + v * kLanes]);
    }
    for (const std::uint32_t shingle : shingles) {
      const auto x = hn::Set(d, shingle);
      for (int v = 0; v < kVectors; ++v) least[v] = hn::Min(least[v], hn::Add(hn::Mul(a[v], x), b[v]));
    }
    for (int v = 0; v < kVectors; ++v) hn::Store(least[v], d, &minima.values[first + v * kLanes]);
  }
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

HWY_EXPORT(Lower);

void LowerMinima(std::span<const std::uint32_t> shingles, const HashFunctions& functions,
                 HashMinima& minima) {
  HWY_DYNAMIC_DISPATCH(Lower)(shingles, functions, minima);
}

}  // namespace longspan
#endif
