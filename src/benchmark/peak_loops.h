// The loops that benchmark/peaks.h times. Each repeats one instruction on registers, with enough independent
// sums to hide its latency, and does nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "benchmark/peaks.h"

namespace longspan {

struct PeakLoop {
  PeakKind kind;
  std::string_view isa;
  std::string_view instruction;
  double operations;  // of one step: multiplications and additions, counted each
  // Does `steps` steps and returns the sum over all elements of all sums, which depends on every operation:
  // that keeps the compiler from leaving any out, and lets a test count them. FMA: each element x becomes x /
  // 2 + 1. Dot products: a product is kInt8Product or kBf16Product, and each element is a sum of products.
  double (*run)(std::int64_t steps);
};

inline constexpr double kInt8Product = -6, kBf16Product = 0.5;

// The loops that this machine can run, best first within a kind.
std::vector<PeakLoop> FmaLoops();
std::vector<PeakLoop> Int8Loops();
std::vector<PeakLoop> Bf16Loops();
std::vector<PeakLoop> TileLoops();

// Reads every byte and returns the sum of all 64-bit words. `bytes` is a multiple of kReadUnit.
inline constexpr std::int64_t kReadUnit = 4096;
using ReadLoop = std::uint64_t (*)(const std::byte* data, std::int64_t bytes);
ReadLoop BestReadLoop();

}  // namespace longspan
