#include "kernels/int8/int8_products.h"

// Only the targets with byte products: AVX2, and AVX-512 with VNNI.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3)
#endif
#ifndef HWY_WANT_AVX3_DL
#define HWY_WANT_AVX3_DL
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/int8/int8_products.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include "base/error.h"
#include "kernels/int8/codes-inl.h"
#include "kernels/int8/k_codes-inl.h"
#include "kernels/int8/level_codes-inl.h"
#include "kernels/int8/product-inl.h"
#include "kernels/int8/round-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// Calls f with the struct of codes-inl.h for `type`; false if there is none.
template <class F>
bool WithCodes(Type type, F&& f) {
  const auto tried = [&]<class... W>(W... codes) {
    return ((codes.kType == type && (f(codes), true)) || ...);
  };
  return tried(Q4_0Codes(), Q4_1Codes(), Q5_0Codes(), Q5_1Codes(), Q8_0Codes(), Q2_KCodes(), Q3_KCodes(),
               Q4_KCodes(), Q5_KCodes(), Q6_KCodes(), IQ4_NLCodes(), IQ4_XSCodes(), MXFP4Codes(),
               TQ1_0Codes(), TQ2_0Codes());
}

bool Supports(Type type) {
  return WithCodes(type, [](auto) {});
}

void MatMul(const RoundedRows& x, const Tensor& weight, Rows y, bool add) {
  const bool found = WithCodes(weight.type(), [&]<class W>(W) { Product<W>(x, weight, y, add); });
  if (!found) Fail(ErrorKind::kInternal, "no 8-bit product for {}", Traits(weight.type()).name);
}

const Int8Products& Instance() {
  static constexpr Int8Products products{Supports, RoundRows, MatMul};
  return products;
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

const Int8Products* Int8ProductsFor(std::string_view isa) {
#if HWY_ARCH_X86
  const std::int64_t supported = hwy::SupportedTargets();
  if (isa == "avx512" && (supported & HWY_AVX3_DL)) return &N_AVX3_DL::Instance();
  if ((isa == "avx512" || isa == "avx2") && (supported & HWY_AVX2)) return &N_AVX2::Instance();
#endif
  return nullptr;
}

}  // namespace longspan
#endif
