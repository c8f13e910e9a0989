#include "tensor/type.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/checked.h"
#include "base/error.h"

namespace longspan {
namespace {

constexpr std::array<TypeTraits, 32> kTraits{{
    {Type::kF32, "F32", 1, 4},
    {Type::kF16, "F16", 1, 2},
    {Type::kQ4_0, "Q4_0", 32, 18},
    {Type::kQ4_1, "Q4_1", 32, 20},
    {Type::kQ5_0, "Q5_0", 32, 22},
    {Type::kQ5_1, "Q5_1", 32, 24},
    {Type::kQ8_0, "Q8_0", 32, 34},
    {Type::kQ8_1, "Q8_1", 32, 36},
    {Type::kQ2_K, "Q2_K", 256, 84},
    {Type::kQ3_K, "Q3_K", 256, 110},
    {Type::kQ4_K, "Q4_K", 256, 144},
    {Type::kQ5_K, "Q5_K", 256, 176},
    {Type::kQ6_K, "Q6_K", 256, 210},
    {Type::kQ8_K, "Q8_K", 256, 292},
    {Type::kIQ2_XXS, "IQ2_XXS", 256, 66},
    {Type::kIQ2_XS, "IQ2_XS", 256, 74},
    {Type::kIQ3_XXS, "IQ3_XXS", 256, 98},
    {Type::kIQ1_S, "IQ1_S", 256, 50},
    {Type::kIQ4_NL, "IQ4_NL", 32, 18},
    {Type::kIQ3_S, "IQ3_S", 256, 110},
    {Type::kIQ2_S, "IQ2_S", 256, 82},
    {Type::kIQ4_XS, "IQ4_XS", 256, 136},
    {Type::kI8, "I8", 1, 1},
    {Type::kI16, "I16", 1, 2},
    {Type::kI32, "I32", 1, 4},
    {Type::kI64, "I64", 1, 8},
    {Type::kF64, "F64", 1, 8},
    {Type::kIQ1_M, "IQ1_M", 256, 56},
    {Type::kBF16, "BF16", 1, 2},
    {Type::kTQ1_0, "TQ1_0", 256, 54},
    {Type::kTQ2_0, "TQ2_0", 256, 66},
    {Type::kMXFP4, "MXFP4", 32, 17},
}};

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

const TypeTraits& Traits(Type type) {
  for (const TypeTraits& traits : kTraits) {
    if (traits.type == type) return traits;
  }
  Fail(ErrorKind::kInternal, "no traits for element type {}", static_cast<std::uint32_t>(type));
}

std::optional<Type> TypeFromId(std::uint32_t id) {
  for (const TypeTraits& traits : kTraits) {
    if (static_cast<std::uint32_t>(traits.type) == id) return traits.type;
  }
  return std::nullopt;
}

std::optional<Type> TypeFromName(std::string_view name) {
  for (const TypeTraits& traits : kTraits) {
    if (EqualIgnoringCase(traits.name, name)) return traits.type;
  }
  return std::nullopt;
}

std::int64_t RowBytes(Type type, std::int64_t elements) {
  const TypeTraits& traits = Traits(type);
  if (elements < 0 || elements % traits.block_elements != 0) {
    Fail(ErrorKind::kInvalidFile, "a row of {} elements is not a whole number of {} blocks of {}", elements,
         traits.name, traits.block_elements);
  }
  return CheckedMul<std::int64_t>(elements / traits.block_elements, traits.block_bytes, "row size");
}

}  // namespace longspan
