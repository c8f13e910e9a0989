// 8-bit products of the K types.
#include "kernels/int8/byte_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/int8/k_products.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include "kernels/int8/k_codes-inl.h"
#include "kernels/int8/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

const TypeProducts* KProducts(Type type) {
  return ProductsOf<Q2_KCodes, Q3_KCodes, Q4_KCodes, Q5_KCodes, Q6_KCodes>(type);
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
