// 8-bit products of the types of 32 elements whose codes are numbers.
#include "kernels/int8/byte_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/int8/block_products.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include "kernels/int8/codes-inl.h"
#include "kernels/int8/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

const TypeProducts* BlockProducts(Type type) {
  return ProductsOf<Q4_0Codes, Q4_1Codes, Q5_0Codes, Q5_1Codes, Q8_0Codes>(type);
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
