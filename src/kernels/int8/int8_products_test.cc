// Compares the 8-bit products with plain sums of the same rounded activations, and with each other: the order
// of summing must not depend on the instruction set, the number of rows or the number of threads.
#include "kernels/int8/int8_products.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "kernels/testing/random_blocks.h"

namespace longspan {
namespace {

Matrix RandomRows(std::int64_t rows, std::int64_t cols, std::uint64_t stream) {
  Matrix m(rows, cols);
  Random random(23, stream, RandomPurpose::kTest);
  // Outliers too, as activations have them.
  for (float& x : m.span()) x = random.Normal() * (random.Below(50) == 0 ? 20.0f : 1.0f);
  return m;
}

// The values that the codes stand for.
Matrix Widen(const RoundedRows& r) {
  Matrix m(r.rows, r.cols);
  for (std::int64_t i = 0; i < r.rows; ++i) {
    for (std::int64_t j = 0; j < r.cols; ++j) {
      const std::size_t at = r.at(j / RoundedRows::kSlab, i);
      const auto column = static_cast<std::size_t>(j % RoundedRows::kSlab);
      m[i][j] = r.scales[at * RoundedRows::kGroups + column / 32] *
                static_cast<float>(r.codes[at * RoundedRows::kSlab + column]);
    }
  }
  return m;
}

void MatMul(const Int8Products& products, const RoundedRows& x, const Tensor& w, Rows y, bool add) {
  const Product product{&w, y, add ? Store::kAdd : Store::kSet};
  products.mat_muls(x, {&product, 1});
}

// The same weight with a packing.
Tensor Packed(const Int8Products& products, Tensor w) {
  const auto bytes =
      std::make_shared<AlignedVector<std::byte>>(static_cast<std::size_t>(products.packed_bytes(w)));
  w.SetPacking(products.pack(w, *bytes, bytes));
  return w;
}

class Int8ProductsTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    products_ = Int8ProductsFor(GetParam());
    if (products_ == nullptr) GTEST_SKIP() << "this machine has no " << GetParam();
  }
  void TearDown() override { SetThreads(threads_); }

  Matrix Multiply(ConstRows x, const Tensor& w) const {
    RoundedRows rounded;
    products_->round(x, rounded);
    Matrix y(x.rows, w.rows());
    MatMul(*products_, rounded, w, y, false);
    return y;
  }

  const Int8Products* products_ = nullptr;
  const int threads_ = Threads();
};

bool IsCodeBookType(Type type) {
  switch (type) {
    case Type::kIQ1_S:
    case Type::kIQ1_M:
    case Type::kIQ2_XXS:
    case Type::kIQ2_XS:
    case Type::kIQ2_S:
    case Type::kIQ3_XXS:
    case Type::kIQ3_S: return true;
    default: return false;
  }
}

std::vector<Type> Supported(const Int8Products& products) {
  std::vector<Type> types;
  for (const Type type : kQuantizedTypes) {
    if (products.supports(type)) types.push_back(type);
  }
  return types;
}

TEST_P(Int8ProductsTest, RoundingIsToTheNearestOf255Steps) {
  const Matrix x = RandomRows(19, 288, 1);
  RoundedRows rounded;
  products_->round(x, rounded);
  const Matrix back = Widen(rounded);
  for (std::int64_t i = 0; i < x.rows(); ++i) {
    for (std::int64_t g = 0; g < x.cols() / 32; ++g) {
      float largest = 0;
      std::int32_t sum = 0;
      const std::size_t at = rounded.at(g / 8, i), group = at * 8 + static_cast<std::size_t>(g % 8);
      for (std::int64_t j = 32 * g; j < 32 * (g + 1); ++j) {
        largest = std::max(largest, std::abs(x[i][j]));
        sum += rounded.codes[at * 256 + static_cast<std::size_t>(j % 256)];
      }
      EXPECT_EQ(rounded.scales[group], largest / 127.0f);
      EXPECT_EQ(rounded.minus_sums[group], -sum);
      EXPECT_EQ(rounded.minus_halves[2 * group] + rounded.minus_halves[2 * group + 1], -sum);
      EXPECT_EQ(rounded.sums[group], rounded.scales[group] * static_cast<float>(sum));
      for (std::int64_t j = 32 * g; j < 32 * (g + 1); ++j) {
        const auto column = static_cast<std::size_t>(j);
        EXPECT_LE(std::abs(back[i][column] - x[i][column]), rounded.scales[group] * 0.5001f);
      }
    }
  }
  // A block of zeros stays one.
  const Matrix zeros(1, 32);
  products_->round(zeros, rounded);
  EXPECT_EQ(rounded.scales[0], 0.0f);
  EXPECT_EQ(rounded.codes[0], 0);
}

// Nothing overflows, and every code stays within its range.
TEST_P(Int8ProductsTest, RoundsWhatIsTinyOrNoNumber) {
  for (const float extreme : {1e-45f, 1e-38f, 3e-37f, 1e-30f, 3e38f, std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN()}) {
    Matrix x(1, 32);
    for (std::int64_t j = 0; j < 32; ++j) x[0][j] = j % 3 == 0 ? 0 : j % 3 == 1 ? extreme : -extreme;
    RoundedRows rounded;
    products_->round(x, rounded);
    std::int32_t sum = 0;
    for (int j = 0; j < 32; ++j) {
      sum += rounded.codes[j];
      EXPECT_LE(std::abs(rounded.codes[j]), 127) << extreme;
    }
    EXPECT_EQ(rounded.minus_sums[0], -sum) << extreme;
    if (std::isfinite(extreme)) {
      EXPECT_NEAR(Widen(rounded)[0][1], extreme, std::max(1e-36f, extreme / 250));
    } else {
      EXPECT_FALSE(std::isfinite(rounded.scales[0]));
    }
  }
}

TEST_P(Int8ProductsTest, MatchesPlainSumsOfTheRoundedRows) {
  ASSERT_EQ(Supported(*products_).size(), kQuantizedTypes.size());
  for (const Type type : Supported(*products_)) {
    const bool k_type = Traits(type).block_elements == 256;
    for (const std::int64_t n : {1, 2, 3, 5, 6, 7, 13, 40}) {
      for (const std::int64_t out : {1, 7, 16, 33, 100}) {
        for (const std::int64_t in :
             k_type ? std::vector<std::int64_t>{256, 768} : std::vector<std::int64_t>{32, 96, 256, 544}) {
          const Tensor w = RandomBlocks(type, out, in, static_cast<std::uint64_t>(n * out));
          const Matrix x = RandomRows(n, in, 2);
          RoundedRows rounded;
          products_->round(x, rounded);
          Matrix y(n, out), want(n, out), terms(n, out), widened = Widen(rounded);
          ReferenceKernels().MatMul(widened, w, want, Store::kSet);
          MatMul(*products_, rounded, w, y, false);
          // The size of the terms that are summed, on which rounding depends.
          Tensor sizes = w.ToF32();
          for (float& v : sizes.mutable_floats()) v = std::abs(v);
          for (float& v : widened.span()) v = std::abs(v);
          ReferenceKernels().MatMul(widened, sizes, terms, Store::kSet);
          for (std::size_t i = 0; i < y.span().size(); ++i) {
            ASSERT_NEAR(y.span()[i], want.span()[i], 2e-6 * terms.span()[i] + 1e-6)
                << fmt::format("{} {}x{}x{} at {}", Traits(type).name, n, out, in, i);
          }
          // Adding must add exactly this result.
          Matrix added = RandomRows(n, out, 3), start = added;
          MatMul(*products_, rounded, w, added, true);
          for (std::size_t i = 0; i < y.span().size(); ++i)
            ASSERT_EQ(added.span()[i], start.span()[i] + y.span()[i]);
        }
      }
    }
  }
}

// The largest codes of both signs everywhere: where 16-bit sums would overflow.
TEST_P(Int8ProductsTest, ExtremesDoNotOverflow) {
  for (const Type type : Supported(*products_)) {
    for (const std::uint8_t fill : {0x00, 0x7f, 0x80, 0xff}) {
      Tensor w = RandomBlocks(type, 16, 256, 5);
      for (std::int64_t i = 0; i < 16; ++i) {
        if (type == Type::kQ8_0) {
          for (std::int64_t b = 0; b < 8; ++b) {
            reinterpret_cast<BlockQ8_0*>(w.mutable_bytes().data())[i * 8 + b].q.fill(
                static_cast<std::int8_t>(fill));
          }
        }
        if (type == Type::kQ6_K) {
          auto& block = reinterpret_cast<BlockQ6_K*>(w.mutable_bytes().data())[i];
          block.low.fill(fill);
          block.high.fill(fill);
        }
        if (type == Type::kQ5_K) {
          auto& block = reinterpret_cast<BlockQ5_K*>(w.mutable_bytes().data())[i];
          block.q.fill(fill);
          block.high.fill(fill);
        }
        if (type == Type::kQ4_K) reinterpret_cast<BlockQ4_K*>(w.mutable_bytes().data())[i].q.fill(fill);
        if (type == Type::kIQ4_NL) {
          for (std::int64_t b = 0; b < 8; ++b)
            reinterpret_cast<BlockIQ4_NL*>(w.mutable_bytes().data())[i * 8 + b].q.fill(fill);
        }
        if (type == Type::kIQ4_XS) reinterpret_cast<BlockIQ4_XS*>(w.mutable_bytes().data())[i].q.fill(fill);
        if (type == Type::kMXFP4) {  // the largest levels of both signs
          for (std::int64_t b = 0; b < 8; ++b) {
            reinterpret_cast<BlockMXFP4*>(w.mutable_bytes().data())[i * 8 + b].q.fill(
                static_cast<std::uint8_t>(fill | 0x77));
          }
        }
        // Points, signs and scales of all bits, or of none. d is the first half, or IQ1_M's fourth nibbles.
        if (IsCodeBookType(type)) {
          std::byte* const block = w.mutable_bytes().data() + i * w.row_bytes();
          std::memset(block, fill, static_cast<std::size_t>(w.row_bytes()));
          if (type == Type::kIQ1_M) {
            for (PackedU16& s : reinterpret_cast<BlockIQ1_M*>(block)->scales)
              s = PackedU16::From((s.value() & 0xfff) | 0x2000);
          } else {
            const PackedHalf d = PackedHalf::FromFloat(0.01f);
            std::memcpy(block, &d, sizeof(d));
          }
        }
        if (type == Type::kTQ2_0) reinterpret_cast<BlockTQ2_0*>(w.mutable_bytes().data())[i].q.fill(fill);
      }
      for (const std::int64_t n : {1, 9}) {
        for (const float value : {1.0f, -1.0f}) {
          Matrix x(n, 256), want(n, 16);
          std::ranges::fill(x.span(), value);
          ReferenceKernels().MatMul(x, w, want, Store::kSet);
          const Matrix y = Multiply(x, w);
          for (std::size_t i = 0; i < y.span().size(); ++i) {
            ASSERT_NEAR(y.span()[i], want.span()[i], 1e-4 * std::max(1.0f, std::abs(want.span()[i])))
                << Traits(type).name << " " << int{fill};
          }
        }
      }
    }
  }
}

TEST_P(Int8ProductsTest, PackingChangesNothing) {
  for (const Type type : Supported(*products_)) {
    const bool k_type = Traits(type).block_elements == 256;
    for (const std::int64_t out : {1, 8, 16, 33, 100}) {
      for (const std::int64_t in :
           k_type ? std::vector<std::int64_t>{256, 1024} : std::vector<std::int64_t>{32, 96, 576}) {
        const Tensor w = RandomBlocks(type, out, in, 3);
        const Tensor packed = Packed(*products_, w);
        for (const std::int64_t n : {1, 2, 9}) {
          const Matrix x = RandomRows(n, in, 4);
          EXPECT_EQ(std::memcmp(Multiply(x, packed).data(), Multiply(x, w).data(),
                                Multiply(x, w).span().size_bytes()),
                    0)
              << fmt::format("{} {}x{}x{}", Traits(type).name, n, out, in);
        }
      }
    }
  }
}

// Several weights, of several types and heights, in one call.
TEST_P(Int8ProductsTest, ProductsTogetherAreTheSameAsAlone) {
  const Tensor a = RandomBlocks(Type::kQ4_K, 300, 512, 1),
               b = Packed(*products_, RandomBlocks(Type::kQ6_K, 40, 512, 2)),
               c = RandomBlocks(Type::kQ8_0, 17, 512, 3);
  for (const std::int64_t n : {1, 3, 600}) {
    const Matrix x = RandomRows(n, 512, 5);
    RoundedRows rounded;
    products_->round(x, rounded);
    Matrix ya(n, 300), yb(n, 40), yc(n, 17);
    const std::array<Product, 3> products{
        {{&a, ya, Store::kSet}, {&b, yb, Store::kAdd}, {&c, yc, Store::kSet}}};
    products_->mat_muls(rounded, products);
    EXPECT_TRUE(std::ranges::equal(ya.span(), Multiply(x, a).span())) << n;
    EXPECT_TRUE(std::ranges::equal(yb.span(), Multiply(x, b).span())) << n;
    EXPECT_TRUE(std::ranges::equal(yc.span(), Multiply(x, c).span())) << n;
  }
}

TEST_P(Int8ProductsTest, RowsThreadsAndInstructionSetsChangeNothing) {
  for (const Type type : Supported(*products_)) {
    const Tensor w = RandomBlocks(type, 150, 768, 7);
    const Matrix x = RandomRows(40, 768, 8);
    SetThreads(1);
    const Matrix all = Multiply(x, w);
    for (const int threads : {2, 3, 4}) {
      SetThreads(threads);
      const Matrix again = Multiply(x, w);
      EXPECT_EQ(std::memcmp(again.data(), all.data(), all.span().size_bytes()), 0) << Traits(type).name;
    }
    for (const std::int64_t n : {1, 2, 3, 8}) {
      const Matrix some = Multiply(ConstRows(x).Slice(30, n), w);
      EXPECT_EQ(std::memcmp(some.data(), all[30].data(), some.span().size_bytes()), 0)
          << Traits(type).name << " " << n;
    }
    const Int8Products* other = Int8ProductsFor("avx2");
    RoundedRows rounded;
    other->round(x, rounded);
    Matrix y(40, 150);
    MatMul(*other, rounded, w, y, false);
    EXPECT_EQ(std::memcmp(y.data(), all.data(), all.span().size_bytes()), 0) << Traits(type).name;
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, Int8ProductsTest, testing::Values("avx512", "avx2"));

}  // namespace
}  // namespace longspan
