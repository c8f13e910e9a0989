// Counter-based random numbers: a stream is a pure function of (seed, step, purpose), so a resumed run draws
// what an uninterrupted one would have drawn, whatever else was drawn in between.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace longspan {

// What a stream is for. Streams of one seed and step but different purposes are independent.
enum class RandomPurpose : std::uint32_t {
  kInit = 1,     // initial weights
  kShuffle = 2,  // order of examples
  kPose = 3,     // positions
  kDropout = 4,
  kSample = 5,  // text generation
  kPasskey = 6,
  kSynthetic = 7,  // weights of a model that was never trained
  kTest = 8,
  kInductionInit = 9,
};

// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t step, RandomPurpose purpose);

  std::uint32_t Next();
  double Uniform();                        // [0, 1), 53 bits
  std::int64_t Below(std::int64_t bound);  // [0, bound), unbiased; bound >= 1
  float Normal();                          // mean 0, variance 1 (Box-Muller)

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
};

// xoshiro256++ (Blackman and Vigna 2021, "Scrambled linear pseudorandom number generators"), seeded from a
// stream of Random. It costs a small fraction of Philox. For gigabytes of numbers: make one for each row.
class BulkRandom {
 public:
  explicit BulkRandom(Random stream) {
    // The state must not be all zeros, which 256 bits of Philox never are in practice.
    for (std::uint64_t& word : state_) word = std::uint64_t{stream.Next()} << 32 | stream.Next();
  }
  explicit BulkRandom(const std::array<std::uint64_t, 4>& state) : state_(state) {}

  std::uint64_t Next() {
    auto& [a, b, c, d] = state_;
    const std::uint64_t drawn = std::rotl(a + d, 23) + a, shifted = b << 17;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = std::rotl(d, 45);
    return drawn;
  }

 private:
  std::array<std::uint64_t, 4> state_;
};

}  // namespace longspan
