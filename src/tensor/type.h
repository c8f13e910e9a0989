// Element types. Every type that GGUF defines is one, with GGUF's own number (ggml's `ggml_type`).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace longspan {

enum class Type : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
};

// A type's elements are stored in blocks of `block_elements` that take `block_bytes`.
struct TypeTraits {
  Type type;
  std::string_view name;  // as GGUF's users write it: "F16", "Q4_K"
  std::int64_t block_elements;
  std::int64_t block_bytes;

  double BitsPerWeight() const {
    return 8.0 * static_cast<double>(block_bytes) / static_cast<double>(block_elements);
  }
};

const TypeTraits& Traits(Type type);
std::optional<Type> TypeFromId(std::uint32_t id);         // empty for a number GGUF does not define
std::optional<Type> TypeFromName(std::string_view name);  // case-insensitive

// Bytes of one row of `elements`. Error(kInvalidFile) if that is not a whole number of blocks.
std::int64_t RowBytes(Type type, std::int64_t elements);

}  // namespace longspan
