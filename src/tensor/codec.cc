#include "tensor/codec.h"

#include <cstring>

#include "base/error.h"
#include "tensor/block_codec.h"
#include "tensor/float16.h"

namespace longspan {
namespace {

using Decoder = void (*)(const std::byte* from, float* to, std::int64_t elements);

template <float (*kConvert)(std::uint16_t)>
void DecodeHalf(const std::byte* from, float* to, std::int64_t elements) {
  for (std::int64_t i = 0; i < elements; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, from + 2 * i, sizeof(bits));
    to[i] = kConvert(bits);
  }
}

void DecodeF32(const std::byte* from, float* to, std::int64_t elements) {
  std::memcpy(to, from, static_cast<std::size_t>(elements) * sizeof(float));
}

Decoder FindDecoder(Type type) {
  switch (type) {
    case Type::kF32: return DecodeF32;
    case Type::kF16: return DecodeHalf<F16ToF32>;
    case Type::kBF16: return DecodeHalf<BF16ToF32>;
    case Type::kQ8_0: return DecodeQ8_0;
    case Type::kQ4_0: return DecodeQ4_0;
    case Type::kQ4_1: return DecodeQ4_1;
    case Type::kQ5_0: return DecodeQ5_0;
    case Type::kQ5_1: return DecodeQ5_1;
    case Type::kQ2_K: return DecodeQ2_K;
    case Type::kQ3_K: return DecodeQ3_K;
    case Type::kQ4_K: return DecodeQ4_K;
    case Type::kQ5_K: return DecodeQ5_K;
    case Type::kQ6_K: return DecodeQ6_K;
    case Type::kIQ4_NL: return DecodeIQ4_NL;
    case Type::kIQ4_XS: return DecodeIQ4_XS;
    case Type::kMXFP4: return DecodeMXFP4;
    case Type::kTQ1_0: return DecodeTQ1_0;
    case Type::kTQ2_0: return DecodeTQ2_0;
    case Type::kIQ1_S: return DecodeIQ1_S;
    case Type::kIQ1_M: return DecodeIQ1_M;
    case Type::kIQ2_XXS: return DecodeIQ2_XXS;
    case Type::kIQ2_XS: return DecodeIQ2_XS;
    case Type::kIQ2_S: return DecodeIQ2_S;
    case Type::kIQ3_XXS: return DecodeIQ3_XXS;
    case Type::kIQ3_S: return DecodeIQ3_S;
    default: return nullptr;
  }
}

}  // namespace

bool CanDecode(Type type) { return FindDecoder(type) != nullptr; }

void DecodeRow(Type type, const std::byte* from, float* to, std::int64_t elements) {
  const Decoder decode = FindDecoder(type);
  if (decode == nullptr) Fail(ErrorKind::kUnsupported, "decoding of {} is not supported", Traits(type).name);
  decode(from, to, elements);
}

}  // namespace longspan
