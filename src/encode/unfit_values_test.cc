#include "encode/unfit_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/testing/expect_error.h"
#include "encode/encode.h"
#include "encode/reencode.h"
#include "tensor/codec.h"

namespace longspan {
namespace {

using testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<Type> EncodedTypes() {
  std::vector<Type> types;
  for (std::uint32_t id = 0; id < 64; ++id) {
    if (const auto type = TypeFromId(id); type && CanEncode(*type)) types.push_back(*type);
  }
  return types;
}

// The value that `x` decodes to, stored in a block of zeros.
float Stored(Type type, float x) {
  std::vector<float> values(static_cast<std::size_t>(Traits(type).block_elements));
  values[0] = x;
  std::vector<std::byte> bytes(static_cast<std::size_t>(Traits(type).block_bytes));
  EncodeRow(type, values.data(), bytes.data(), std::ssize(values), nullptr);
  DecodeRow(type, bytes.data(), values.data(), std::ssize(values));
  return values[0];
}

// The smallest value that counts as too large, to the bit.
TEST(UnfitValues, TheBoundaryOfFloatTypesIsWhereRoundingOverflows) {
  const auto counts = [](Type type, float x) { return TakeUnfit(type, &x, 1, 1, 0).too_large == 1; };
  EXPECT_FALSE(counts(Type::kF16, std::nextafter(65520.0f, 0.0f)));
  EXPECT_TRUE(counts(Type::kF16, 65520.0f));
  EXPECT_TRUE(counts(Type::kF16, -65520.0f));
  const float largest = std::numeric_limits<float>::max();
  EXPECT_FALSE(counts(Type::kBF16, std::nextafter(0x1.ffp127f, 0.0f)));
  EXPECT_TRUE(counts(Type::kBF16, 0x1.ffp127f));
  EXPECT_FALSE(counts(Type::kF32, largest));
  EXPECT_FALSE(counts(Type::kF32, -largest));
}

// Values that pass the check are not clipped: they come back as exactly as the type's levels allow.
TEST(UnfitValues, WhatPassesIsHeldByEveryType) {
  for (const Type type : EncodedTypes()) {
    float x = LargestValue(type);
    EXPECT_FALSE(TakeUnfit(type, &x, 1, 1, 0).any()) << Traits(type).name;
    if (LargestValue(type) > 65504) continue;
    // A block that holds one value and zeros. One bit a weight cannot hold it well at any size.
    EXPECT_NEAR(Stored(type, x) / x, Stored(type, 1), 0.05) << Traits(type).name;
  }
}

TEST(UnfitValues, AreCountedAndPlaced) {
  std::vector<float> x(6 * 32, 1.0f);
  x[2 * 32 + 5] = 1e6f;
  x[3 * 32] = kNan;
  x[3 * 32 + 1] = -kInfinity;
  x[5 * 32 + 31] = -1e9f;
  const UnfitValues unfit = TakeUnfit(Type::kF16, x.data(), 6, 32, 100);
  EXPECT_EQ(unfit.nan, 1);
  EXPECT_EQ(unfit.infinite, 1);
  EXPECT_EQ(unfit.too_large, 2);
  EXPECT_EQ(unfit.row, 102);
  EXPECT_EQ(unfit.column, 5);
  EXPECT_EQ(x[2 * 32 + 5], 65504);
  EXPECT_EQ(x[3 * 32], 0);
  EXPECT_EQ(x[3 * 32 + 1], -65504);
  EXPECT_EQ(x[5 * 32 + 31], -65504);

  const std::string error = ErrorOf([&] { CheckUnfit(unfit, Type::kF16, TooLarge::kRefuse); });
  EXPECT_THAT(error, HasSubstr("F16 cannot hold these values: 1 NaN, 1 infinite, 2 beyond 65504"));
  EXPECT_THAT(error, HasSubstr("row 102, column 5"));
  EXPECT_THAT(error, HasSubstr("--clip"));
  EXPECT_THAT(ErrorOf([&] { CheckUnfit(unfit, Type::kF16, TooLarge::kClip); }),
              HasSubstr("1 NaN, 1 infinite,"));
  const UnfitValues clipped{.too_large = 2, .row = 1, .column = 1};
  EXPECT_NO_THROW(CheckUnfit(clipped, Type::kF16, TooLarge::kClip));
  EXPECT_EQ(DescribeClipped(clipped, Type::kF16),
            "2 values beyond 65504 became 65504, the largest that F16 holds");
}

// The sum covers many tasks and pieces, with any number of threads.
TEST(UnfitValues, AreSummedOverATensor) {
  constexpr std::int64_t kRows = 3000, kCols = 1024;
  std::vector<float> x(kRows * kCols, 0.5f);
  for (const std::int64_t row : {7, 1500, 2999}) x[row * kCols + row % kCols] = 1e5f;
  std::vector<std::byte> to(static_cast<std::size_t>(kRows * RowBytes(Type::kF16, kCols)));
  const auto from = std::as_bytes(std::span(x));
  const EncodingError whole = Reencode(Type::kF32, from, Type::kF16, to, kRows, kCols);
  const auto ignore = [](std::span<const std::byte>) {};
  const EncodingError pieces = ReencodeTo(ignore, ignore, Type::kF32, from, Type::kF16, kRows, kCols);
  for (const EncodingError& error : {whole, pieces}) {
    EXPECT_EQ(error.unfit.too_large, 3);
    EXPECT_EQ(error.unfit.row, 7);
    EXPECT_EQ(error.unfit.column, 7);
  }
}

}  // namespace
}  // namespace longspan
