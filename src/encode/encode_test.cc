#include "encode/encode.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "tensor/blocks.h"
#include "tensor/codec.h"

namespace longspan {
namespace {

constexpr Type kEncoded[] = {Type::kF32,  Type::kF16,  Type::kBF16, Type::kQ8_0, Type::kQ4_0,
                             Type::kQ4_1, Type::kQ5_0, Type::kQ5_1, Type::kQ2_K, Type::kQ3_K,
                             Type::kQ4_K, Type::kQ5_K, Type::kQ6_K};

std::vector<std::byte> EncodeAll(Type type, const std::vector<float>& x, const float* importance = nullptr) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(RowBytes(type, static_cast<std::int64_t>(x.size()))));
  EncodeRow(type, x.data(), bytes.data(), static_cast<std::int64_t>(x.size()), importance);
  return bytes;
}

std::vector<float> DecodeAll(Type type, const std::vector<std::byte>& bytes, std::size_t elements) {
  std::vector<float> x(elements);
  DecodeRow(type, bytes.data(), x.data(), static_cast<std::int64_t>(elements));
  return x;
}

std::vector<float> RoundTrip(Type type, const std::vector<float>& x, const float* importance = nullptr) {
  return DecodeAll(type, EncodeAll(type, x, importance), x.size());
}

std::vector<float> Gaussian(std::size_t n, float scale = 1) {
  Random random(1, 0, RandomPurpose::kTest);
  std::vector<float> x(n);
  for (float& value : x) value = scale * random.Normal();
  return x;
}

double RelativeError(const std::vector<float>& x, const std::vector<float>& y) {
  double error = 0, power = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    error += std::pow(double{x[i]} - y[i], 2);
    power += double{x[i]} * x[i];
  }
  return std::sqrt(error / power);
}

struct Bound {
  Type type;
  double error;
};

// The bounds are the errors that are reached, rounded up, so that a worse search shows.
class GaussianError : public testing::TestWithParam<Bound> {};

TEST_P(GaussianError, IsSmallAtEveryMagnitude) {
  const auto [type, bound] = GetParam();
  for (const float scale : {1.0f, 0.02f, 100.0f}) {
    const std::vector<float> x = Gaussian(64 * 1024, scale);
    const double error = RelativeError(x, RoundTrip(type, x));
    RecordProperty("error", std::to_string(error));
    EXPECT_LT(error, bound) << Traits(type).name << " at " << scale;
    EXPECT_GT(error, 0.9 * bound) << Traits(type).name << ": better than its bound; lower the bound";
  }
}

INSTANTIATE_TEST_SUITE_P(Types, GaussianError,
                         testing::Values(Bound{Type::kF16, 0.00022}, Bound{Type::kBF16, 0.0017},
                                         Bound{Type::kQ8_0, 0.0055}, Bound{Type::kQ6_K, 0.0168},
                                         Bound{Type::kQ5_K, 0.0345}, Bound{Type::kQ4_K, 0.0700},
                                         Bound{Type::kQ3_K, 0.1440}, Bound{Type::kQ2_K, 0.2665},
                                         Bound{Type::kQ5_1, 0.0335}, Bound{Type::kQ5_0, 0.0405},
                                         Bound{Type::kQ4_1, 0.0695}, Bound{Type::kQ4_0, 0.0815}),
                         [](const auto& info) { return std::string(Traits(info.param.type).name); });

// A least-squares fit keeps only 1 - error^2 of a row's length. Coarse types restore some of the rest.
TEST(Encode, CoarseTypesShrinkLessThanLeastSquares) {
  const std::vector<float> x = Gaussian(64 * 1024);
  for (const auto& [type, left] : {std::pair{Type::kQ2_K, 0.25}, std::pair{Type::kQ3_K, 0.55}}) {
    const std::vector<float> y = RoundTrip(type, x);
    double xx = 0, xy = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      xx += double{x[i]} * x[i];
      xy += double{x[i]} * y[i];
    }
    EXPECT_GT(xy / xx, 1 - left * std::pow(RelativeError(x, y), 2)) << Traits(type).name;
  }
}

TEST(Encode, ZerosStayZeros) {
  for (const Type type : kEncoded) {
    for (const float y : RoundTrip(type, std::vector<float>(512, 0.0f)))
      EXPECT_EQ(y, 0.0f) << Traits(type).name;
  }
}

TEST(Encode, ConstantsStayNearlyConstant) {
  for (const Type type : kEncoded) {
    for (const float value : {1.0f, -1.0f, 0.3f, -7.7f, 1e-3f, -2e-3f}) {
      const std::vector<float> x(256, value);
      EXPECT_LT(RelativeError(x, RoundTrip(type, x)), 0.005) << Traits(type).name << " of " << value;
    }
  }
}

TEST(Encode, AnOutlierSurvivesAndNothingOverflows) {
  for (const Type type : kEncoded) {
    std::vector<float> x = Gaussian(256);
    x[77] = 3e4f;
    const std::vector<float> y = RoundTrip(type, x);
    EXPECT_NEAR(y[77], 3e4f, 3e4f * 0.02f) << Traits(type).name;
    x[77] = -3e38f;  // beyond any F16 scale
    for (const float value : RoundTrip(type, x)) EXPECT_TRUE(std::isfinite(value)) << Traits(type).name;
  }
}

TEST(Encode, TinyValuesVanishOrStaySmall) {
  for (const Type type : kEncoded) {
    for (const float scale : {1e-6f, 1e-20f, 1e-42f}) {
      const std::vector<float> x = Gaussian(256, scale);
      for (const float y : RoundTrip(type, x)) EXPECT_LE(std::abs(y), 6 * scale + 6e-8f) << Traits(type).name;
    }
  }
}

TEST(Encode, NotANumberIsAnError) {
  std::vector<float> x(256, 1.0f);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    x[200] = bad;
    for (const Type type : kEncoded) {
      try {
        EncodeAll(type, x);
        FAIL() << Traits(type).name;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kInvalidFile);
        EXPECT_NE(std::string(error.what()).find("200"), std::string::npos);
      }
    }
  }
}

// Values that a block can represent exactly stay exact.
TEST(Encode, RepresentableValuesAreExact) {
  Random random(2, 0, RandomPurpose::kTest);
  const auto expect_exact = [](Type type, const std::vector<float>& x) {
    EXPECT_EQ(RoundTrip(type, x), x) << Traits(type).name;
  };
  // 32 values on a grid, with both ends in use.
  const auto grid = [&](int low, int high, float d, float offset) {
    std::vector<float> x(32);
    for (float& value : x) value = d * static_cast<float>(low + random.Below(high - low + 1)) + offset;
    for (const int half : {0, 16}) {  // Q6_K scales every 16
      x[half + 5] = d * static_cast<float>(low) + offset;
      x[half + 9] = d * static_cast<float>(high) + offset;
    }
    return x;
  };
  for (int i = 0; i < 20; ++i) {
    expect_exact(Type::kQ8_0, grid(-127, 127, 0.25f, 0));
    expect_exact(Type::kQ4_0, grid(-8, 7, 0.5f, 0));
    expect_exact(Type::kQ4_0, grid(-7, 8, 0.5f, 0));
    expect_exact(Type::kQ5_0, grid(-16, 15, 2.0f, 0));
    expect_exact(Type::kQ4_1, grid(0, 15, 0.5f, -3.0f));
    expect_exact(Type::kQ5_1, grid(0, 31, 0.5f, 7.0f));
    std::vector<float> k4, k5, k6;
    for (int sub = 0; sub < 8; ++sub) {
      const int scale = sub == 0 ? 63 : static_cast<int>(1 + random.Below(63));
      const int min = sub == 1 ? 63 : static_cast<int>(random.Below(64));
      // A min must not leave all values positive, because the fit would rightly use another.
      const float offset = -static_cast<float>(min);
      for (const float x : grid(0, 15, static_cast<float>(scale), offset)) k4.push_back(x / 64);
      for (const float x : grid(0, 31, static_cast<float>(scale), offset)) k5.push_back(x / 64);
      for (const float x : grid(-32, 31, static_cast<float>(sub == 0 ? -128 : scale), 0))
        k6.push_back(x / 64);
    }
    expect_exact(Type::kQ4_K, k4);
    expect_exact(Type::kQ5_K, k5);
    expect_exact(Type::kQ6_K, k6);
  }
}

TEST(Encode, EncodingAgainHardlyChanges) {
  for (const Type type : kEncoded) {
    const std::vector<float> once = RoundTrip(type, Gaussian(8192));
    // If a sub-block does not use all of Q2_K's four codes, the min that is found need not be one that can be
    // stored.
    const double bound = type == Type::kQ2_K ? 0.015 : 0.004;
    EXPECT_LT(RelativeError(once, RoundTrip(type, once)), bound) << Traits(type).name;
  }
}

TEST(Encode, ImportantColumnsLoseLess) {
  const std::vector<float> x = Gaussian(16 * 256);
  std::vector<float> importance(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) importance[i] = i % 4 == 0 ? 50.0f : 1.0f;
  const auto error_of_important = [&](const std::vector<float>& y) {
    double error = 0;
    for (std::size_t i = 0; i < x.size(); i += 4) error += std::pow(double{x[i]} - y[i], 2);
    return error;
  };
  for (const Type type : {Type::kQ4_0, Type::kQ4_1, Type::kQ4_K, Type::kQ5_K, Type::kQ6_K}) {
    EXPECT_LT(error_of_important(RoundTrip(type, x, importance.data())),
              0.8 * error_of_important(RoundTrip(type, x)))
        << Traits(type).name;
  }
  // Importances of zero say nothing.
  const std::vector<float> none(x.size(), 0.0f);
  EXPECT_EQ(RoundTrip(Type::kQ4_K, x, none.data()), RoundTrip(Type::kQ4_K, x));
}

TEST(Encode, RefusesWhatItCannotDo) {
  const std::vector<float> x(256, 1.0f);
  EXPECT_FALSE(CanEncode(Type::kI32));
  EXPECT_THROW(EncodeAll(Type::kI32, x), Error);
  EXPECT_THROW(EncodeAll(Type::kQ4_K, std::vector<float>(100)), Error);
}

// ---- Rows together.

// Rows have any length, so blocks of several rows share vectors.
TEST(EncodeRows, MakesTheBytesOfEachRow) {
  constexpr std::int64_t kRows = 7;
  for (std::uint32_t id = 0; id < 64; ++id) {
    const auto type = TypeFromId(id);
    if (!type || !CanEncode(*type)) continue;
    for (const std::int64_t blocks : {1, 3, 16}) {
      const std::int64_t cols = blocks * Traits(*type).block_elements, row_bytes = RowBytes(*type, cols);
      const auto elements = static_cast<std::size_t>(kRows * cols);
      const std::vector<float> x = Gaussian(elements);
      std::vector<float> importance = Gaussian(static_cast<std::size_t>(cols), 2);
      for (float& value : importance) value *= value;
      const std::vector<float> zeros(importance.size());
      for (const float* weights : std::array<const float*, 3>{nullptr, importance.data(), zeros.data()}) {
        std::vector<std::byte> together(static_cast<std::size_t>(kRows * row_bytes)), alone(together.size());
        EncodeRows(*type, x.data(), together.data(), kRows, cols, weights);
        for (std::int64_t row = 0; row < kRows; ++row)
          EncodeRow(*type, x.data() + row * cols, alone.data() + row * row_bytes, cols, weights);
        EXPECT_EQ(together, alone) << Traits(*type).name << ", rows of " << cols;
      }
    }
  }
}

TEST(EncodeRows, AnErrorNamesRowAndColumn) {
  std::vector<float> x = Gaussian(96);
  x[32 + 5] = INFINITY;
  std::vector<std::byte> bytes(static_cast<std::size_t>(RowBytes(Type::kQ4_0, 96)));
  try {
    EncodeRows(Type::kQ4_0, x.data(), bytes.data(), 3, 32, nullptr, 10);
    FAIL() << "an infinity was encoded";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidFile);
    EXPECT_STREQ(error.what(), "row 11, column 5 is inf, expected a finite number");
  }
}

}  // namespace
}  // namespace longspan
