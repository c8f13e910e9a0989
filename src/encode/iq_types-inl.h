// The IQ types as a search sees them.
//
// To be included by a file that Highway compiles once for each instruction set.
#if defined(LONGSPAN_ENCODE_IQ_TYPES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_IQ_TYPES_INL_H_
#undef LONGSPAN_ENCODE_IQ_TYPES_INL_H_
#else
#define LONGSPAN_ENCODE_IQ_TYPES_INL_H_
#endif

#include <hwy/highway.h>

#include "encode/iq_books.h"
#include "tensor/iq_blocks.h"
#include "tensor/iq_points.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

// Signs of an octet are free, or the number of negative ones is even. IQ1 has no signs but a shift, of a
// sub-block or of an octet.
enum class Signs { kFree, kEven, kShiftOfSub, kShiftOfOctet };

// kSub: values of a sub-block. kTopScale: its largest scale. kTries: scales tried for each. Book(), unless
// kDense: the code book that iq1_cheapest-inl.h knows. kSpread: multiplies the mean square in Emphasis; with
// a larger one, values count more equally. kLengthen: the part of the lost length that Lengthening restores;
// less where the error would otherwise exceed llama.cpp's.
struct TypeIQ2_XXS {
  static constexpr int kWidth = 8, kLevels = 3, kSub = 32, kTopScale = 15, kTries = 3;
  static constexpr bool kDense = false;
  static constexpr Signs kSigns = Signs::kEven;
  static constexpr float kExcess = 0.5f, kSpread = 1, kLengthen = 0.5f;
  static constexpr const auto& Values() { return kLevels2; }
  static const auto& Points() { return kPointsIQ2_XXS; }
  static const auto& Book() { return kBookIQ2_XXS; }
};

struct TypeIQ2_XS : TypeIQ2_XXS {
  static constexpr int kSub = 16;
  static constexpr float kExcess = 0.35f, kLengthen = 0.6f;
  static const auto& Points() { return kPointsIQ2_XS; }
  static const auto& Book() { return kBookIQ2_XS; }
};

struct TypeIQ2_S : TypeIQ2_XS {
  static constexpr int kTries = 2;
  static constexpr Signs kSigns = Signs::kFree;
  static constexpr float kExcess = 0.2f, kLengthen = 0.8f;
  static const auto& Points() { return kPointsIQ2_S; }
  static const auto& Book() { return kBookIQ2_S; }
};

struct TypeIQ3_XXS {
  static constexpr int kWidth = 4, kLevels = 8, kSub = 32, kTopScale = 15, kTries = 2;
  static constexpr bool kDense = false;
  static constexpr Signs kSigns = Signs::kEven;
  static constexpr float kExcess = 1, kSpread = 1, kLengthen = 0.8f;
  static constexpr const auto& Values() { return kLevels3_XXS; }
  static const auto& Points() { return kPointsIQ3_XXS; }
  static const auto& Book() { return kBookIQ3_XXS; }
};

struct TypeIQ3_S : TypeIQ3_XXS {
  static constexpr Signs kSigns = Signs::kFree;
  static constexpr float kExcess = 0.5f, kSpread = 4, kLengthen = 1;
  static constexpr const auto& Values() { return kLevels3_S; }
  static const auto& Points() { return kPointsIQ3_S; }
  static const auto& Book() { return kBookIQ3_S; }
};

struct TypeIQ1_S {
  static constexpr int kWidth = 8, kLevels = 3, kSub = 32, kTopScale = 7, kTries = 1;
  static constexpr bool kDense = true;
  static constexpr Signs kSigns = Signs::kShiftOfSub;
  static constexpr float kExcess = 0.02f, kSpread = 2, kLengthen = 0.6f;
  static constexpr const auto& Values() { return kLevels1; }
  static const auto& Points() { return kPointsIQ1; }
};

struct TypeIQ1_M : TypeIQ1_S {
  static constexpr int kSub = 16;
  static constexpr Signs kSigns = Signs::kShiftOfOctet;
  static constexpr float kSpread = 1, kLengthen = 0.8f;
};

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LONGSPAN_ENCODE_IQ_TYPES_INL_H_
