#include "base/parallel.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"

namespace longspan {
namespace {

TEST(ParallelFor, VisitsEveryIndexOnceAndNests) {
  SetThreads(3);
  std::vector<int> seen(100, 0);
  ParallelFor(10, [&](std::int64_t i) {
    ParallelFor(10, [&](std::int64_t j) { ++seen[static_cast<size_t>(10 * i + j)]; });
  });
  for (int n : seen) EXPECT_EQ(n, 1);
}

TEST(ParallelFor, RethrowsOnTheCallingThread) {
  SetThreads(2);
  EXPECT_THROW(ParallelFor(50, [](std::int64_t i) { if (i == 17) Fail(ErrorKind::kBadOption, "{}", i); }), Error);
}

}  // namespace
}  // namespace longspan
