#include "tensor/tensor.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "base/error.h"

namespace longspan {
namespace {

TEST(Tensor, SizesAreChecked) {
  EXPECT_EQ(TensorBytes(Type::kQ4_K, std::vector<std::int64_t>{3, 512}), 3 * 2 * 144);
  EXPECT_THROW(RowBytes(Type::kQ4_K, 100), Error);
  EXPECT_THROW(TensorBytes(Type::kF32, std::vector<std::int64_t>{INT64_MAX, 2, 4}), Error);
  const std::byte bytes[8] = {};
  EXPECT_THROW(Tensor(Type::kF32, {3}, bytes, nullptr), Error);
}

TEST(Tensor, OwnMemoryIsWritableAndViewsAreNot) {
  Tensor own = Tensor::Allocate(Type::kF32, {2, 3});
  own.mutable_floats()[4] = 5;
  EXPECT_EQ(own.AsRows().at(1, 1), 5);
  Tensor view(Type::kF32, {2, 3}, own.bytes(), nullptr);
  EXPECT_THROW(view.mutable_floats(), Error);
}

TEST(Type, NamesAndNumbers) {
  EXPECT_EQ(TypeFromName("q4_k"), Type::kQ4_K);
  EXPECT_EQ(TypeFromId(14), Type::kQ6_K);
  EXPECT_FALSE(TypeFromId(4).has_value());  // a number that GGUF withdrew
  EXPECT_NEAR(Traits(Type::kQ6_K).BitsPerWeight(), 6.5625, 1e-9);
}

TEST(Matrix, IsZeroWhenMadeWhateverTheMemoryHeld) {
  for (int i = 0; i < 3; ++i) {
    Matrix matrix(7, 9);
    EXPECT_THAT(matrix.span(), testing::Each(0.0f));
    std::ranges::fill(matrix.span(), 1.0f);
  }
}

TEST(Matrix, ResizedReusesItsMemoryWhereItSuffices) {
  Matrix matrix(7, 9);
  const float* const data = matrix.data();
  matrix.Resize(3, 21);
  EXPECT_EQ(matrix.data(), data);
  EXPECT_EQ(matrix.span().size(), 63u);
  matrix.Resize(1, 2);
  matrix.Resize(9, 7);
  EXPECT_EQ(matrix.data(), data);
  matrix.Resize(10, 100);
  EXPECT_EQ(matrix.span().size(), 1000u);
  EXPECT_EQ(matrix[9].size(), 100u);
}

}  // namespace
}  // namespace longspan
