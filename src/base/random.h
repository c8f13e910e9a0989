// Counter-based random numbers: a stream is a pure function of (seed, step, purpose), so a resumed run draws
// what an uninterrupted one would have drawn, whatever else was drawn in between.
#pragma once

#include <array>
#include <cstdint>

namespace longspan {

// What a stream is for. Streams of one seed and step but different purposes are independent.
enum class RandomPurpose : std::uint32_t {
  kInit = 1,     // initial weights
  kShuffle = 2,  // order of examples
  kPose = 3,     // positions
  kDropout = 4,
  kSample = 5,   // text generation
  kPasskey = 6,
  kSynthetic = 7,
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

}  // namespace longspan
