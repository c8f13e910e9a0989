#include "quantize/encode.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "quantize/block_encode.h"
#include "tensor/float16.h"

namespace longspan {
namespace {

using Encoder = void (*)(const float* from, std::byte* to, std::int64_t elements, const float* importance);

void EncodeF32(const float* from, std::byte* to, std::int64_t elements, const float*) {
  std::memcpy(to, from, static_cast<std::size_t>(elements) * sizeof(float));
}

void EncodeF16(const float* from, std::byte* to, std::int64_t elements, const float*) {
  constexpr float kLargest = 65504.0f;
  for (std::int64_t i = 0; i < elements; ++i) {
    const std::uint16_t bits = F32ToF16(std::clamp(from[i], -kLargest, kLargest));
    std::memcpy(to + 2 * i, &bits, sizeof(bits));
  }
}

void EncodeBF16(const float* from, std::byte* to, std::int64_t elements, const float*) {
  constexpr float kLargest = 0x1.fep127f;
  for (std::int64_t i = 0; i < elements; ++i) {
    const std::uint16_t bits = F32ToBF16(std::clamp(from[i], -kLargest, kLargest));
    std::memcpy(to + 2 * i, &bits, sizeof(bits));
  }
}

Encoder FindEncoder(Type type) {
  switch (type) {
    case Type::kF32:
      return EncodeF32;
    case Type::kF16:
      return EncodeF16;
    case Type::kBF16:
      return EncodeBF16;
    case Type::kQ8_0:
      return EncodeQ8_0;
    case Type::kQ4_0:
      return EncodeQ4_0;
    case Type::kQ4_1:
      return EncodeQ4_1;
    case Type::kQ5_0:
      return EncodeQ5_0;
    case Type::kQ5_1:
      return EncodeQ5_1;
    case Type::kQ2_K:
      return EncodeQ2_K;
    case Type::kQ3_K:
      return EncodeQ3_K;
    case Type::kQ4_K:
      return EncodeQ4_K;
    case Type::kQ5_K:
      return EncodeQ5_K;
    case Type::kQ6_K:
      return EncodeQ6_K;
    case Type::kIQ4_NL:
      return EncodeIQ4_NL;
    case Type::kIQ4_XS:
      return EncodeIQ4_XS;
    case Type::kMXFP4:
      return EncodeMXFP4;
    case Type::kTQ1_0:
      return EncodeTQ1_0;
    case Type::kTQ2_0:
      return EncodeTQ2_0;
    case Type::kIQ1_S:
      return EncodeIQ1_S;
    case Type::kIQ1_M:
      return EncodeIQ1_M;
    case Type::kIQ2_XXS:
      return EncodeIQ2_XXS;
    case Type::kIQ2_XS:
      return EncodeIQ2_XS;
    case Type::kIQ2_S:
      return EncodeIQ2_S;
    case Type::kIQ3_XXS:
      return EncodeIQ3_XXS;
    case Type::kIQ3_S:
      return EncodeIQ3_S;
    default:
      return nullptr;
  }
}

// Looks at the bits, without branches, so that it costs next to nothing: one more in the exponent overflows
// into the sign where the exponent is all ones.
bool AllFinite(const float* x, std::int64_t n) {
  std::uint32_t overflow = 0;
  for (std::int64_t i = 0; i < n; ++i)
    overflow |= (std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffff) + 0x00800000;
  return overflow < 0x80000000;
}

}  // namespace

bool CanEncode(Type type) { return FindEncoder(type) != nullptr; }

void EncodeRow(Type type, const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  const Encoder encode = FindEncoder(type);
  if (encode == nullptr) Fail(ErrorKind::kUnsupported, "encoding of {} is not supported", Traits(type).name);
  RowBytes(type, elements);  // throws unless the row is a whole number of blocks
  if (!AllFinite(from, elements)) {
    const std::int64_t i =
        std::find_if_not(from, from + elements, [](float x) { return std::isfinite(x); }) - from;
    Fail(ErrorKind::kInvalidFile, "column {} is {}, expected a finite number", i, from[i]);
  }
  // Importances of zero say nothing.
  if (importance != nullptr &&
      std::all_of(importance, importance + elements, [](float x) { return x == 0; })) {
    importance = nullptr;
  }
  encode(from, to, elements, importance);
}

}  // namespace longspan
