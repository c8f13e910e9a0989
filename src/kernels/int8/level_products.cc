// 8-bit products of the types whose codes pick levels.
#include "kernels/int8/byte_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/int8/level_products.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include "kernels/int8/level_codes-inl.h"
#include "kernels/int8/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

const TypeProducts* LevelProducts(Type type) {
  return ProductsOf<IQ4_NLCodes, IQ4_XSCodes, MXFP4Codes, TQ1_0Codes, TQ2_0Codes>(type);
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
