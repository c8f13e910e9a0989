// Gives larger values more weight than smaller ones of the same block. The square error, weighted by
// importance, is not all that matters to a model, because a least-squares fit makes values smaller, large
// ones most of all. docs/quantisation.md says what this is worth.
//
// To be included by a file that Highway compiles once for each instruction set.
#if defined(LONGSPAN_ENCODE_EMPHASIS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_EMPHASIS_INL_H_
#undef LONGSPAN_ENCODE_EMPHASIS_INL_H_
#else
#define LONGSPAN_ENCODE_EMPHASIS_INL_H_
#endif

#include <hwy/highway.h>

#include "encode/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

// The factor for the importance of a value x in a block of this mean square.
template <class V>
HWY_INLINE V Emphasis(V mean_square, V x) {
  return hn::Sqrt(hn::Add(mean_square, hn::Mul(x, x)));
}

// Multiplies a group's weights by their emphasis. `shared` sub-blocks make a block.
template <int kValues>
void Emphasise(int shared, Group<kValues>& group) {
  Lanes mean_square;
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    Vec sum = Zero();
    for (int i = lane; i < kValues * kGroup; i += kGroup) {
      const Vec x = Load(group.x + i);
      sum = hn::Add(sum, hn::Mul(x, x));
    }
    Store(hn::Mul(sum, Set(1.0f / kValues)), mean_square.at + lane);
  }
  SpreadMean(mean_square, shared);
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    const Vec mean = Load(mean_square.at + lane);
    const Mask zeros = hn::Eq(mean, Zero());  // blocks of zeros: their weights must not be 0
    for (int i = lane; i < kValues * kGroup; i += kGroup) {
      const Vec emphasis = hn::IfThenElse(zeros, Set(1), Emphasis(mean, Load(group.x + i)));
      Store(hn::Mul(Load(group.weights + i), emphasis), group.weights + i);
    }
  }
}

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
