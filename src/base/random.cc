#include "base/random.h"

#include <cmath>
#include <numbers>

namespace longspan {
namespace {

std::array<std::uint32_t, 4> Philox(std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
  }
  return c;
}

}  // namespace

Random::Random(std::uint64_t seed, std::uint64_t step, RandomPurpose purpose)
    : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
      // The low word counts blocks within the stream.
      counter_{0, static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32),
               static_cast<std::uint32_t>(purpose)} {}

std::uint32_t Random::Next() {
  if (used_ == 4) {
    block_ = Philox(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

double Random::Uniform() {
  const std::uint64_t high = Next() >> 5, low = Next() >> 6;
  return static_cast<double>(high * (std::uint64_t{1} << 26) + low) * 0x1p-53;
}

std::int64_t Random::Below(std::int64_t bound) {
  const std::uint64_t n = static_cast<std::uint64_t>(bound);
  const std::uint64_t limit = UINT64_MAX - UINT64_MAX % n;  // x from here on would bias the result
  for (;;) {
    const std::uint64_t high = Next(), x = high << 32 | Next();
    if (x < limit) return static_cast<std::int64_t>(x % n);
  }
}

float Random::Normal() {
  const double u = 1.0 - Uniform(), v = Uniform();
  return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v));
}

}  // namespace longspan
