#include "kernels/int8/int8_products.h"

#include <utility>
#include <vector>

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
#include "kernels/int8/iq_codes-inl.h"
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
               TQ1_0Codes(), TQ2_0Codes(), IQ1_SCodes(), IQ1_MCodes(), IQ2_XXSCodes(), IQ2_XSCodes(),
               IQ2_SCodes(), IQ3_XXSCodes(), IQ3_SCodes());
}

bool Supports(Type type) {
  return WithCodes(type, [](auto) {});
}

// As WithCodes, for a type that is supported.
template <class F>
void WithCodesOf(const Tensor& weight, F&& f) {
  if (!WithCodes(weight.type(), f))
    Fail(ErrorKind::kInternal, "no 8-bit product for {}", Traits(weight.type()).name);
}

void MatMuls(const RoundedRows& x, std::span<const Product> products) {
  std::vector<Job> jobs;
  jobs.reserve(products.size());
  for (const Product& p : products)
    WithCodesOf(*p.weight, [&]<class W>(W) { jobs.push_back(MakeJob<W>(x, p)); });
  RunJobs(x, jobs);
}

std::int64_t PackedBytesOf(const Tensor& weight) {
  std::int64_t bytes = 0;
  WithCodesOf(weight, [&]<class W>(W) { bytes = Strips<W>(weight).packed_bytes(); });
  return bytes;
}

Packing Pack(const Tensor& weight, std::span<std::byte> to, std::shared_ptr<const void> owner) {
  WithCodesOf(weight, [&]<class W>(W) { PackStrips<W>(weight, to.data()); });
  return {kLanes, to, std::move(owner)};
}

const Int8Products& Instance() {
  static constexpr Int8Products products{Supports, RoundRows, MatMuls, PackedBytesOf, Pack};
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
