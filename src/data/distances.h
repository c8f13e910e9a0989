// Which distances between tokens training examples teach: PoSE is worth what it reaches.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/batch.h"

namespace longspan {

// The distances between the positions of two tokens of one document, over some examples. Distances of
// consecutive positions from each other fill an interval, so that examples are looked at by runs rather than
// by tokens.
class Distances {
 public:
  static constexpr std::int64_t kRanges = 16;

  // Distances 0 to `target` - 1, in kRanges ranges of about the same width.
  explicit Distances(std::int64_t target);

  void Add(const Batch& batch);  // each row is an example; padding counts for nothing

  struct Range {
    std::int64_t first = 0, last = 0;  // distances
    double share = 0;                  // of examples that have a distance of the range, averaged over these
    bool starved = false;              // less than a quarter of what the median range has
  };
  std::vector<Range> Ranges() const;

  std::int64_t examples() const { return examples_; }
  std::int64_t shifted() const { return shifted_; }  // examples whose positions skip ahead
  std::int64_t longest() const { return longest_; }  // distance
  std::int64_t pairs() const { return pairs_; }      // of runs, which is what looking costs

  // One line: how many examples are shifted, and how far they reach.
  std::string Summary() const;
  // One line for the ranges that are starved; empty where none is.
  std::string Warning() const;

 private:
  void AddExample(const Batch& batch, std::int64_t first, std::int64_t end);

  std::int64_t target_;
  std::int64_t examples_ = 0, shifted_ = 0, longest_ = 0, pairs_ = 0;
  std::vector<double> sums_;           // [kRanges], of distances that examples have
  std::vector<std::int64_t> changes_;  // scratch
};

}  // namespace longspan
