#include "kernels/int8/attention.h"

#include "kernels/int8/byte_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/int8/attention.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include "kernels/int8/code_dots-inl.h"
#include "kernels/int8/code_prefill-inl.h"
#include "kernels/vector/attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX3_DL

struct CodeArithmetic {
  template <class F>
  static void WithDots(Type type, int queries, F&& f) {
    if (type == Type::kQ8_0)
      WithDotsOf<Type::kQ8_0>(queries, f);
    else
      WithDotsOf<Type::kQ4_0>(queries, f);
  }
  static void Prefill(const AttentionShape& shape, const AttentionSequence& s, std::int64_t kv_head,
                      std::int64_t first, std::int64_t count) {
    PrefillTask<CodePanels>(shape, s, kv_head, first, count);
  }

 private:
  template <Type kType, class F>
  static void WithDotsOf(int queries, F&& f) {
    if (queries == 1)
      f(std::type_identity<CodeDots<kType, 1>>());
    else if (queries == 2)
      f(std::type_identity<CodeDots<kType, 2>>());
    else
      f(std::type_identity<CodeDots<kType, 4>>());
  }
};

bool SupportsAttention(const AttentionShape& shape, const AttentionSequence& s) {
  const bool codes = s.kv.type() == Type::kQ8_0 || s.kv.type() == Type::kQ4_0;
  return codes && shape.head_dim % (2 * kBlock) == 0 && shape.head_dim <= kMostCodeDimensions;
}

const Int8Attention& AttentionInstance() {
  static constexpr Int8Attention attention{SupportsAttention, AttentionForward<CodeArithmetic>};
  return attention;
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

const Int8Attention* Int8AttentionFor(std::string_view isa) {
#if HWY_ARCH_X86
  if (isa == "avx512" && (hwy::SupportedTargets() & HWY_AVX3_DL)) return &N_AVX3_DL::AttentionInstance();
#endif
  return nullptr;
}

}  // namespace longspan
#endif
