#include "formats/rope_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;

TEST(PermuteRows, PairsHalvesUp) {
  Tensor split = Tensor::Allocate(Type::kF32, {12, 1});  // two heads of 6 rows
  std::iota(split.mutable_floats().begin(), split.mutable_floats().end(), 0.0f);
  const Tensor pairs = PermuteRows(split, 6, RopeOrder::kInterleaved);
  EXPECT_THAT(pairs.floats(), ElementsAre(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11));
  EXPECT_THAT(PermuteRows(pairs, 6, RopeOrder::kHalfSplit).floats(),
              ::testing::ElementsAreArray(split.floats()));
  EXPECT_THROW(PermuteRows(split, 8, RopeOrder::kHalfSplit), Error);
}

}  // namespace
}  // namespace longspan
