#include "kernels/kv_layout.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"
#include "kernels/testing/compare.h"

namespace longspan {
namespace {

TEST(KvLayoutTest, CountsBytes) {
  EXPECT_EQ((KvLayout{Type::kF32, 2, 8}.RowBytes()), 32);
  EXPECT_EQ((KvLayout{Type::kF16, 2, 100}.RowBytes()), 200);
  EXPECT_EQ((KvLayout{Type::kBF16, 8, 128}.RowBytes()), 256);
  EXPECT_EQ((KvLayout{Type::kQ8_0, 8, 128}.RowBytes()), 4 * 34);
  EXPECT_EQ((KvLayout{Type::kQ4_0, 8, 128}.RowBytes()), 4 * 18);
  EXPECT_EQ((KvLayout{Type::kBF16, 8, 128}.PageBytes()), 8 * 2 * 64 * 256);
}

TEST(KvLayoutTest, RefusesWhatItCannotHold) {
  const auto refused = [](Type type, std::int64_t head_dim) {
    try {
      (void)KvLayout{type, 2, head_dim}.PageBytes();
    } catch (const Error& e) {
      return e.kind() == ErrorKind::kUnsupported;
    }
    return false;
  };
  for (const Type type : {Type::kQ8_0, Type::kQ4_0}) {
    for (const std::int64_t head_dim : {8, 16, 20, 48, 80, 96, 100})
      EXPECT_TRUE(refused(type, head_dim)) << head_dim;
    for (const std::int64_t head_dim : {32, 64, 128, 256}) EXPECT_FALSE(refused(type, head_dim)) << head_dim;
  }
  for (const Type type : {Type::kF32, Type::kF16, Type::kBF16}) EXPECT_FALSE(refused(type, 20));
  for (const Type type : {Type::kQ4_1, Type::kQ4_K, Type::kI8, Type::kF64}) EXPECT_TRUE(refused(type, 256));
}

TEST(KvLayoutTest, HadamardTransformOfSmallVectors) {
  std::vector<float> x{3};
  HadamardTransform(x);
  EXPECT_EQ(x, std::vector<float>{3});
  x = {1, 2, 3, 4};
  HadamardTransform(x);
  EXPECT_EQ(x, (std::vector<float>{5, -1, -2, 0}));
}

TEST(KvLayoutTest, HadamardTransformIsItsOwnInverseAndKeepsProducts) {
  const Matrix x = oracle::RandomMatrix(2, 128, 1);
  Matrix y = x;
  for (const int i : {0, 1}) HadamardTransform(y[i]);
  double before = 0, after = 0;
  for (std::size_t i = 0; i < 128; ++i) {
    before += static_cast<double>(x[0][i]) * x[1][i];
    after += static_cast<double>(y[0][i]) * y[1][i];
  }
  EXPECT_NEAR(before, after, 1e-4);
  for (const int i : {0, 1}) HadamardTransform(y[i]);
  oracle::ExpectClose(y.span(), x.span(), 1e-6f, "twice");
}

}  // namespace
}  // namespace longspan
