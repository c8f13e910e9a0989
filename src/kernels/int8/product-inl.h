// The products of int8_products.h, over strips of weights (strips-inl.h): scales, minima and sums of kLanes
// outputs are whole vectors, and no output needs a sum across lanes. The number of rows decides how.
#if defined(LONGSPAN_KERNELS_INT8_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_PRODUCT_INL_H_
#undef LONGSPAN_KERNELS_INT8_PRODUCT_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_PRODUCT_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/parallel.h"
#include "kernels/int8/few_rows-inl.h"
#include "kernels/int8/job-inl.h"
#include "kernels/int8/many_rows-inl.h"
#include "kernels/int8/rounded_rows.h"
#include "kernels/int8/strips-inl.h"
#include "kernels/int8/type_products-inl.h"
#include "kernels/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// Strips of a task: long enough that claiming it costs nothing, short enough that threads end together.
template <class W>
std::int64_t StripsAtOnce(const Strips<W>& w) {
  constexpr std::int64_t kLongest = 64 << 10, kShortest = 12 << 10, kTasks = 16;
  const std::int64_t bytes = std::clamp(w.packed_bytes() / (kTasks * Threads()), kShortest, kLongest);
  return std::max<std::int64_t>(1, bytes / w.strip_bytes());
}

template <class W>
Job MakeJob(const RoundedRows& x, const Product& product) {
  const Strips<W> w(*product.weight);
  if (x.rows <= kFewRows)
    return {&product, w.strips(), StripsAtOnce(w), FewRowsFor<W>(x.rows), FewRowsMemory<W>};
  return {&product, w.strips(), kTileStrips, ManyRows<W>, ManyRowsMemory<W>};
}

template <class W>
std::int64_t PackedBytesOf(const Tensor& weight) {
  return Strips<W>(weight).packed_bytes();
}

// The products of a type for which there is one of the structs W of codes-inl.h, or null.
template <class... W>
const TypeProducts* ProductsOf(Type type) {
  static constexpr TypeProducts kProducts[] = {{MakeJob<W>, PackedBytesOf<W>, PackStrips<W>}...};
  std::size_t i = 0;
  return ((W::kType == type || (++i, false)) || ...) ? &kProducts[i] : nullptr;
}

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
