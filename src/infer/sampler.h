// Chooses the next token from logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace longspan {

struct SamplerOptions {
  double temperature = 0.8;     // 0: the most likely token, always
  std::int64_t top_k = 40;      // keep the k most likely tokens; 0: all
  double top_p = 0.95;          // keep the fewest tokens whose probability reaches p; 1: all
  double min_p = 0.05;          // keep tokens at least min_p times as likely as the likeliest; 0: all
  double repeat_penalty = 1.0;  // divides positive logits of recent tokens, multiplies negative ones; 1: none
  std::int64_t repeat_window = 64;  // how many of the last tokens count as recent
  std::uint64_t seed = 0;

  void Validate() const;  // Error(kBadOption), naming the option
};

// Applies, in this order: repetition penalty (Keskar et al. 2019, section 4.1), temperature, min-p (Nguyen et
// al. 2024), top-k, top-p over what is left (Holtzman et al. 2020); then draws. The n-th draw is a function
// of the seed, n, the logits and the recent tokens alone.
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);  // Error(kBadOption)

  // The token to follow `history`, the sequence so far. Of equal logits the lower token is the likelier.
  // Error(kInvalidFile) where no logit is finite.
  std::int32_t Sample(std::span<const float> logits, std::span<const std::int32_t> history = {});

 private:
  struct Candidate {
    float logit;
    std::int32_t token;
  };

  std::span<const float> Penalise(std::span<const float> logits, std::span<const std::int32_t> history);
  void Collect(std::span<const float> logits, float highest);
  void KeepBest(std::size_t k);
  std::int32_t Draw(float highest);
  static bool Likelier(const Candidate& a, const Candidate& b);

  SamplerOptions options_;
  std::uint64_t draws_ = 0;
  std::vector<float> penalised_;
  std::vector<Candidate> candidates_;
};

// The index of the largest logit, the first of equals. Error(kInvalidFile) where none is finite.
std::int32_t ArgMax(std::span<const float> logits);

}  // namespace longspan
