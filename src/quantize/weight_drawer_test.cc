#include "quantize/weight_drawer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "encode/encode.h"
#include "tensor/blocks.h"
#include "tensor/codec.h"

namespace longspan {
namespace {

constexpr std::int64_t kElements = 1 << 20;

std::vector<std::byte> DrawBytes(Type type, double deviation, std::uint64_t stream = 0) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(RowBytes(type, kElements)));
  BulkRandom random(Random(1, stream, RandomPurpose::kTest));
  WeightDrawer(type, deviation).Draw(random, bytes.data(), kElements);
  return bytes;
}

std::vector<float> Decoded(Type type, double deviation) {
  std::vector<float> x(kElements);
  DecodeRow(type, DrawBytes(type, deviation).data(), x.data(), kElements);
  return x;
}

std::vector<Type> Drawable() {
  std::vector<Type> types;
  for (std::uint32_t id = 0; id < 64; ++id) {
    if (const auto type = TypeFromId(id); type && CanDraw(*type)) types.push_back(*type);
  }
  return types;
}

class EveryType : public testing::TestWithParam<Type> {};

// The deviations of a network's matrices: 0.02, and the smallest, of 80 layers' outputs.
TEST_P(EveryType, HasTheMeanAndDeviationAskedFor) {
  for (const double deviation : {1.0, 0.02, 0.02 / std::sqrt(160.0)}) {
    double sum = 0, squares = 0, fourth = 0;
    for (const float x : Decoded(GetParam(), deviation)) {
      ASSERT_TRUE(std::isfinite(x));
      sum += x;
      squares += double{x} * x;
      fourth += std::pow(double{x}, 4);
    }
    const double mean = sum / kElements, variance = squares / kElements;
    // A million values; those of K blocks' parts are not independent, hence more than 1 / sqrt(million).
    EXPECT_NEAR(mean / deviation, 0, 0.006);
    EXPECT_NEAR(std::sqrt(variance) / deviation, 1, 0.01);
    // 3 for a normal distribution; scales that vary raise it, codes cut off lower it, and few levels more so:
    // two of them would leave 1.
    const double kurtosis = fourth / kElements / (variance * variance);
    const double bits = Traits(GetParam()).BitsPerWeight();
    EXPECT_GT(kurtosis, bits < 2.1 ? 1.3 : bits < 3 ? 2.0 : 2.4);
    EXPECT_LT(kurtosis, 4);
  }
}

TEST_P(EveryType, NeighboursAreIndependent) {
  const std::vector<float> x = Decoded(GetParam(), 1.0);
  for (const std::size_t lag : {1, 2, 4, 8, 16, 32, 64, 128}) {
    double product = 0;
    for (std::size_t i = 0; i + lag < x.size(); ++i) product += double{x[i]} * x[i + lag];
    // The parts of K blocks with minima share an offset of an eighth of their deviation, those of IQ1 a shift
    // of an eighth of their largest value.
    EXPECT_NEAR(product / kElements, 0, Traits(GetParam()).BitsPerWeight() < 1.8 ? 0.1 : 0.03) << lag;
  }
}

TEST_P(EveryType, IsAFunctionOfTheStream) {
  EXPECT_EQ(DrawBytes(GetParam(), 1.0), DrawBytes(GetParam(), 1.0));
  EXPECT_NE(DrawBytes(GetParam(), 1.0), DrawBytes(GetParam(), 1.0, 1));
}

INSTANTIATE_TEST_SUITE_P(Types, EveryType, testing::ValuesIn(Drawable()),
                         [](const auto& info) { return std::string(Traits(info.param).name); });

// Scales differ, so that a kernel which takes one part's scale for another's gives a wrong result.
TEST(WeightDrawerTest, BlocksAndTheirPartsHaveScalesOfTheirOwn) {
  const auto bytes = DrawBytes(Type::kQ4_K, 1.0);
  std::set<std::uint16_t> block_scales;
  std::set<int> scales, excess;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(BlockQ4_K)) {
    BlockQ4_K block;
    std::memcpy(&block, bytes.data() + at, sizeof(block));
    block_scales.insert(block.d.bits());
    const SubScales sub = UnpackScales(block.scales);
    for (int i = 0; i < 8; ++i) {
      scales.insert(sub.scale[i]);
      excess.insert(sub.min[i] - sub.scale[i]);
    }
  }
  EXPECT_GT(block_scales.size(), 100u);
  EXPECT_EQ(scales.size(), 32u);
  EXPECT_EQ(excess.size(), 7u);
}

TEST(WeightDrawerTest, RefusesWhatItCannotDraw) {
  EXPECT_THROW(WeightDrawer(Type::kQ8_1, 1.0), Error);
  BulkRandom random(Random(1, 0, RandomPurpose::kTest));
  std::vector<std::byte> bytes(1024);
  EXPECT_THROW(WeightDrawer(Type::kQ4_K, 1.0).Draw(random, bytes.data(), 128), Error);
}

TEST(CodeTableTest, IsSymmetricAboutItsCentre) {
  for (const auto& [centre, largest] : {std::pair{0.0, 127}, {8.0, 15}, {7.5, 15}, {32.0, 63}}) {
    const CodeTable table(centre, largest);
    double sum = 0;
    int top = 0;
    for (const std::uint8_t code : table.code) {
      const int value = centre == 0 ? static_cast<std::int8_t>(code) : code;
      sum += value;
      top = std::max(top, value);
    }
    EXPECT_EQ(sum, 256 * centre);
    EXPECT_EQ(top, largest);
  }
}

}  // namespace
}  // namespace longspan
