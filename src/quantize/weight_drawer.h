// Random weights drawn in the form in which a type stores them: a quantised block's codes and scales are
// drawn directly, because fitting them to drawn floats takes a hundred times as long. Blocks of the rarer
// types are picked from some that were encoded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "tensor/type.h"

namespace longspan {

// Turns a random byte into a code that is normally distributed about `centre`. The codes are the middles of
// 256 equally likely intervals, rounded. They are symmetric, so that their mean is exactly the centre.
struct CodeTable {
  // `largest` - `centre` is 2.5 deviations; the few codes beyond are cut off, on both sides.
  CodeTable(double centre, int largest);

  std::array<std::uint8_t, 256> code;  // bits of a signed code where the centre is 0
  double centre;
  double variance;
};

bool CanDraw(Type type);

// Draws weights of one type from about a normal distribution with mean 0: floats are one of 65,536 values,
// codes one of 256, whole blocks one of as many as hold 65,536 values. Blocks and their parts have scales of
// their own, as trained weights have. Thread-safe after construction; needs no more than 256 KiB.
class WeightDrawer {
 public:
  // `deviation` > 0. Error(kUnsupported) for a type that CanDraw does not know.
  WeightDrawer(Type type, double deviation);

  // Fills a row of `elements`, a whole number of blocks, at any address. Scales that F16 holds coarsely
  // (below 2^-14: Q6_K under a deviation of about 0.02) round by up to one in a hundred.
  void Draw(BulkRandom& random, std::byte* to, std::int64_t elements) const;

 private:
  Type type_;
  CodeTable codes_;
  double scale_;                   // blocks: the mean of d
  std::vector<std::byte> values_;  // 65,536 equally likely floats, or blocks of as many values, encoded
};

}  // namespace longspan
