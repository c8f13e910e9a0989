// What holds for every encoder of a quantised type: rows of any number of blocks, importances that leave
// columns out, and the same bytes whatever the instruction set.
#include "encode/block_encode.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include "base/vector_targets.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "encode/encode.h"
#include "encode/float_rows.h"
#include "tensor/codec.h"
#include "tensor/float16.h"

namespace longspan {
namespace {

constexpr Type kTypes[] = {Type::kQ8_0, Type::kQ4_0, Type::kQ4_1, Type::kQ5_0, Type::kQ5_1,
                           Type::kQ2_K, Type::kQ3_K, Type::kQ4_K, Type::kQ5_K, Type::kQ6_K};

class BlockEncode : public testing::TestWithParam<Type> {
 protected:
  Type type() const { return GetParam(); }
  std::size_t block() const { return static_cast<std::size_t>(Traits(type()).block_elements); }

  std::vector<std::byte> Encoded(std::span<const float> x, const float* importance) const {
    const auto n = static_cast<std::int64_t>(x.size());
    std::vector<std::byte> bytes(static_cast<std::size_t>(RowBytes(type(), n)));
    EncodeRow(type(), x.data(), bytes.data(), n, importance);
    return bytes;
  }
  std::vector<float> RoundTrip(std::span<const float> x, const float* importance) const {
    std::vector<float> y(x.size());
    DecodeRow(type(), Encoded(x, importance).data(), y.data(), static_cast<std::int64_t>(x.size()));
    return y;
  }
};

// Trained weights: normal, with parts of other widths, a shift here and there, some zeros and an outlier.
std::vector<float> Weights(std::size_t n) {
  Random random(3, 0, RandomPurpose::kTest);
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    const float width = 0.01f * static_cast<float>(1 + i / 32 % 5);
    x[i] = width * random.Normal() + (i / 64 % 7 == 3 ? 0.02f : 0.0f);
    if (i % 97 == 0) x[i] = 0;
  }
  x[n / 2] = 1;
  return x;
}

std::vector<float> Importances(std::size_t n) {
  Random random(4, 0, RandomPurpose::kTest);
  std::vector<float> importance(n);
  for (float& value : importance) value = std::exp(2 * random.Normal());
  return importance;
}

// sum of importance * (x - y)^2 over that of importance * x^2.
double WeightedError(const std::vector<float>& x, const std::vector<float>& y,
                     const std::vector<float>& importance) {
  double error = 0, power = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    error += importance[i] * std::pow(double{x[i]} - y[i], 2);
    power += importance[i] * std::pow(double{x[i]}, 2);
  }
  return std::sqrt(error / power);
}

// Each block is encoded as it would be alone, however many are encoded side by side.
TEST_P(BlockEncode, BlocksDoNotDependOnTheirRow) {
  const std::vector<float> x = Weights(21 * block()), importance = Importances(x.size());
  for (const float* weights : {static_cast<const float*>(nullptr), importance.data()}) {
    std::vector<std::byte> alone;
    for (std::size_t at = 0; at < x.size(); at += block()) {
      const auto bytes =
          Encoded(std::span(x).subspan(at, block()), weights != nullptr ? weights + at : nullptr);
      alone.insert(alone.end(), bytes.begin(), bytes.end());
    }
    for (const std::size_t blocks : {1, 2, 3, 15, 16, 17, 21}) {
      std::vector<std::byte> expected = alone;
      expected.resize(alone.size() / 21 * blocks);
      EXPECT_EQ(Encoded(std::span(x).first(blocks * block()), weights), expected) << blocks << " blocks";
    }
  }
}

TEST_P(BlockEncode, InstructionSetsAgreeToTheByte) {
  const std::vector<float> x = Weights(37 * 256), importance = Importances(x.size());
  std::vector<std::byte> plain, weighted;
  const std::vector<std::int64_t> targets = hwy::SupportedAndGeneratedTargets();
  for (const std::int64_t target : targets) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    const auto a = Encoded(x, nullptr), b = Encoded(x, importance.data());
    if (plain.empty()) {
      plain = a;
      weighted = b;
    }
    EXPECT_EQ(a, plain) << hwy::TargetName(target);
    EXPECT_EQ(b, weighted) << hwy::TargetName(target);
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  RecordProperty("targets", std::to_string(targets.size()));
}

TEST_P(BlockEncode, ColumnsOfNoImportanceCostNothingAndStaySane) {
  const std::vector<float> x = Weights(64 * 256);
  std::vector<float> importance(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) importance[i] = i % 3 == 0 && i / 256 % 4 != 1 ? 1e-3f : 0.0f;
  const std::vector<float> y = RoundTrip(x, importance.data());
  EXPECT_LT(WeightedError(x, y, importance), WeightedError(x, RoundTrip(x, nullptr), importance) + 1e-12);
  float largest = 0;
  for (const float value : x) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_TRUE(std::isfinite(y[i])) << i;
    ASSERT_LE(std::abs(y[i]), 2 * largest) << i;
  }
}

TEST_P(BlockEncode, HugeAndTinyNeighbours) {
  for (const float scale : {1e-30f, 1e-7f, 1e-4f, 1e4f, 1e30f}) {
    std::vector<float> x = Weights(8 * 256);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= i / 256 % 2 == 0 ? scale : 1;
    const std::vector<float> y = RoundTrip(x, nullptr);
    for (const float value : y) ASSERT_TRUE(std::isfinite(value)) << scale;
    // Blocks of ordinary values do not depend on their neighbours.
    for (std::size_t first = 256; first < x.size(); first += 512) {
      const std::vector<float> part(x.begin() + first, x.begin() + first + 256);
      const std::vector<float> alone = RoundTrip(part, nullptr);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), y.begin() + first)) << scale;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, BlockEncode, testing::ValuesIn(kTypes),
                         [](const auto& info) { return std::string(Traits(info.param).name); });

struct Bound {
  Type type;
  double error;
};

// As GaussianError in encode_test.cc, with importances. The bounds are the errors that are reached, rounded
// up.
TEST(BlockEncodeError, WithImportancesIsSmall) {
  Random random(5, 0, RandomPurpose::kTest);
  std::vector<float> x(128 * 1024);
  for (float& value : x) value = random.Normal();
  const std::vector<float> importance = Importances(x.size());
  for (const auto [type, bound] :
       {Bound{Type::kQ8_0, 0.0055}, Bound{Type::kQ4_0, 0.0630}, Bound{Type::kQ4_1, 0.0450},
        Bound{Type::kQ5_0, 0.0300}, Bound{Type::kQ5_1, 0.0210}, Bound{Type::kQ2_K, 0.1600},
        Bound{Type::kQ3_K, 0.1070}, Bound{Type::kQ4_K, 0.0457}, Bound{Type::kQ5_K, 0.0225},
        Bound{Type::kQ6_K, 0.0110}}) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(RowBytes(type, std::ssize(x))));
    std::vector<float> y(x.size());
    EncodeRow(type, x.data(), bytes.data(), std::ssize(x), importance.data());
    DecodeRow(type, bytes.data(), y.data(), std::ssize(y));
    const double error = WeightedError(x, y, importance);
    EXPECT_LT(error, bound) << Traits(type).name;
    EXPECT_GT(error, 0.9 * bound) << Traits(type).name << ": better than its bound; lower the bound";
  }
}

TEST(FloatRows, HalvesDecodeAsTheyDoElsewhere) {
  std::vector<std::uint16_t> halves(0x10000 + 5);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  std::vector<float> y(halves.size());
  DecodeHalves(reinterpret_cast<const std::byte*>(halves.data()), y.data(), std::ssize(y));
  for (std::size_t i = 0; i < halves.size(); ++i) {
    const float expected = F16ToF32(halves[i]);
    if (std::isnan(expected))
      EXPECT_TRUE(std::isnan(y[i])) << i;
    else
      EXPECT_EQ(std::bit_cast<std::uint32_t>(y[i]), std::bit_cast<std::uint32_t>(expected)) << i;
  }
}

TEST(FloatRows, FiniteIsWhatHasNoNanAndNoInfinity) {
  for (const std::int64_t n : {0, 1, 15, 16, 33, 100}) {
    std::vector<float> x(static_cast<std::size_t>(n), -std::numeric_limits<float>::max());
    EXPECT_TRUE(AllFinite(x.data(), n));
    for (float& value : x) {
      for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN()}) {
        const float before = std::exchange(value, bad);
        EXPECT_FALSE(AllFinite(x.data(), n)) << bad << " in " << n;
        value = before;
      }
    }
  }
}

TEST(FloatRows, SquaresAreThoseOfThePlainLoop) {
  for (const std::size_t n : {0, 1, 15, 16, 17, 1000}) {
    const std::vector<float> x = Importances(n + 1), y = Weights(n + 1);
    EncodingError sums;
    AddSquares(x.data(), y.data(), static_cast<std::int64_t>(n), sums);
    double error = 0, power = 0;
    for (std::size_t i = 0; i < n; ++i) {
      error += std::pow(double{x[i]} - y[i], 2);
      power += std::pow(double{x[i]}, 2);
    }
    EXPECT_NEAR(sums.squared_error, error, 1e-12 * error) << n;
    EXPECT_NEAR(sums.squared_sum, power, 1e-12 * power) << n;
  }
}

}  // namespace
}  // namespace longspan
