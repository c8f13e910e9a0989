#include "kernels/int8/int8_products.h"

#include <utility>
#include <vector>

#include "kernels/int8/byte_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/int8/int8_products.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include "base/error.h"
#include "kernels/int8/job-inl.h"
#include "kernels/int8/round-inl.h"
#include "kernels/int8/type_products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// Null for a type that has none.
const TypeProducts* Find(Type type) {
  for (const auto family : {BlockProducts, KProducts, LevelProducts, IqProducts}) {
    if (const TypeProducts* products = family(type)) return products;
  }
  return nullptr;
}

bool Supports(Type type) { return Find(type) != nullptr; }

const TypeProducts& Get(const Tensor& weight) {
  const TypeProducts* products = Find(weight.type());
  if (products == nullptr) Fail(ErrorKind::kInternal, "no 8-bit product for {}", Traits(weight.type()).name);
  return *products;
}

void MatMuls(const RoundedRows& x, std::span<const Product> products) {
  std::vector<Job> jobs;
  jobs.reserve(products.size());
  for (const Product& p : products) jobs.push_back(Get(*p.weight).make_job(x, p));
  RunJobs(x, jobs);
}

std::int64_t PackedBytesOf(const Tensor& weight) { return Get(weight).packed_bytes(weight); }

Packing Pack(const Tensor& weight, std::span<std::byte> to, std::shared_ptr<const void> owner) {
  Get(weight).pack(weight, to.data());
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
