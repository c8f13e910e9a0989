// Helpers for tests of kernels: random matrices, and comparison of results.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>

#include "base/random.h"
#include "tensor/rows.h"

namespace longspan::oracle {

// Standard normal; each stream is another matrix.
inline Matrix RandomMatrix(std::int64_t rows, std::int64_t cols, std::uint64_t stream) {
  Matrix m(rows, cols);
  Random random(11, stream, RandomPurpose::kTest);
  for (float& x : m.span()) x = random.Normal();
  return m;
}

// The largest error is at most `tolerance` times the largest value, or 0.1 if that is more.
inline void ExpectClose(std::span<const float> got, std::span<const float> want, float tolerance,
                        const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  double error = 0, size = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error = std::max<double>(error, std::abs(got[i] - want[i]));
    size = std::max<double>(size, std::abs(want[i]));
    ASSERT_FALSE(std::isnan(got[i])) << what << " at " << i;
  }
  EXPECT_LE(error, tolerance * std::max(size, 0.1)) << what;
}

}  // namespace longspan::oracle
