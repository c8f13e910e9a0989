// The inner loop of MinHash, for the processor's vectors.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace longspan {

inline constexpr int kMinHashes = 112;

struct HashFunctions {
  alignas(64) std::array<std::uint32_t, kMinHashes> a, b;  // x -> a x + b modulo 2^32
};
struct HashMinima {
  alignas(64) std::array<std::uint32_t, kMinHashes> values;
};

// Lowers minima[i] to the least value of function i over `shingles`. The same on every instruction set.
void LowerMinima(std::span<const std::uint32_t> shingles, const HashFunctions& functions, HashMinima& minima);

}  // namespace longspan
