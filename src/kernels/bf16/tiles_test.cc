// Checks what a product of tiles computes, and that the tile unit computes the same bits.
#include "kernels/bf16/tiles.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "tensor/float16.h"

namespace longspan::bf16 {
namespace {

constexpr std::int64_t kStride = 128;  // rows of operands lie apart

struct Operands {
  std::vector<std::uint16_t> a, b;
  std::vector<float> c;
};

// Normally distributed numbers. Some of them are subnormal or make subnormal products.
Operands RandomOperands(std::uint64_t stream) {
  Random random(31, stream, RandomPurpose::kTest);
  const auto draw = [&] {
    const std::uint64_t kind = random.Below(20);
    return random.Normal() * (kind == 0 ? 1e-39f : kind == 1 ? 1e-20f : 1.0f);
  };
  Operands o;
  for (std::int64_t i = 0; i < kTileRows * kStride / 2; ++i) {
    o.a.push_back(F32ToBF16(draw()));
    o.b.push_back(F32ToBF16(draw()));
  }
  for (std::int64_t i = 0; i < kTileRows * kStride / 4; ++i) o.c.push_back(draw());
  return o;
}

template <class Tiles>
std::vector<float> Multiply(const Operands& o) {
  Tiles tiles;
  std::vector<float> c(o.c.size());
  tiles.template Load<1>(o.c.data(), kStride);
  tiles.template Load<5>(o.a.data(), kStride);
  tiles.template LoadOnce<7>(o.b.data(), kStride);
  tiles.template Dot<1, 5, 7>();
  tiles.template Store<1>(c.data(), kStride);
  return c;
}

TEST(TilesTest, ProductOfPairs) {
  const Operands o = RandomOperands(1);
  const std::vector<float> c = Multiply<PlainTiles>(o);
  constexpr std::size_t kElements = kStride / 2, kFloats = kStride / 4;
  for (std::size_t m = 0; m < 16; ++m) {
    for (std::size_t n = 0; n < kFloats; ++n) {
      if (n >= 16) {
        EXPECT_EQ(c[m * kFloats + n], 0.0f) << "only 64 bytes of a row are stored";
        continue;
      }
      double want = o.c[m * kFloats + n];
      for (std::size_t k = 0; k < 32; ++k) {
        want += static_cast<double>(BF16ToF32(o.a[m * kElements + k])) *
                BF16ToF32(o.b[k / 2 * kElements + 2 * n + k % 2]);
      }
      EXPECT_NEAR(c[m * kFloats + n], want, 1e-5);
    }
  }
}

TEST(TilesTest, SubnormalNumbersAreZero) {
  Operands o;
  o.a.assign(kTileRows * kStride / 2, 0);
  o.b = o.a;
  o.c.assign(kTileRows * kStride / 4, 0.0f);
  o.a[0] = 0x0040;  // subnormal, in column 0, where B has something large
  o.b[0] = F32ToBF16(1e30f);
  o.a[kStride + 2] = o.b[kStride / 2 + 2] = F32ToBF16(1e-20f);  // with a subnormal product, in column 2
  o.c[5] = 1e-40f;
  EXPECT_EQ(Multiply<PlainTiles>(o), std::vector<float>(o.c.size(), 0.0f));
}

TEST(TilesTest, TheTileUnitDoesTheSame) {
  if (!TilesSupported()) GTEST_SKIP() << "this machine has no tile unit";
  for (std::uint64_t stream = 0; stream < 100; ++stream) {
    const Operands o = RandomOperands(stream);
    const std::vector<float> plain = Multiply<PlainTiles>(o), unit = Multiply<HardwareTiles>(o);
    ASSERT_EQ(std::memcmp(plain.data(), unit.data(), plain.size() * sizeof(float)), 0) << stream;
  }
}

}  // namespace
}  // namespace longspan::bf16
