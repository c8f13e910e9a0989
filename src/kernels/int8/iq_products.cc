// 8-bit products of the types with code books.
#include "kernels/int8/byte_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/int8/iq_products.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include "kernels/int8/iq_codes-inl.h"
#include "kernels/int8/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

const TypeProducts* IqProducts(Type type) {
  return ProductsOf<IQ1_SCodes, IQ1_MCodes, IQ2_XXSCodes, IQ2_XSCodes, IQ2_SCodes, IQ3_XXSCodes, IQ3_SCodes>(
      type);
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
