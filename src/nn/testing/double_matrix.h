// What the layers' tests share: matrices in double precision, random operands, and the comparison of a
// gradient with central finite differences.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "tensor/float16.h"
#include "tensor/rows.h"
#include "tensor/tensor.h"

namespace longspan::oracle {

class DoubleMatrix {
 public:
  DoubleMatrix() = default;
  DoubleMatrix(std::int64_t rows, std::int64_t cols)
      : rows_(rows), cols_(cols), data_(static_cast<std::size_t>(rows * cols)) {}

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  bool empty() const { return data_.empty(); }
  std::span<double> span() & { return data_; }  // not of a temporary, which would be gone
  std::span<const double> span() const& { return data_; }
  std::span<const double> span() const&& = delete;
  operator RowsOf<double>() { return {data_.data(), rows_, cols_}; }
  operator RowsOf<const double>() const { return {data_.data(), rows_, cols_}; }

 private:
  std::int64_t rows_ = 0, cols_ = 0;
  std::vector<double> data_;
};

inline DoubleMatrix Widen(ConstRows x) {
  DoubleMatrix wide(x.rows, x.cols);
  const RowsOf<double> to(wide);
  for (std::int64_t i = 0; i < x.rows; ++i) std::ranges::copy(x[i], to[i].begin());
  return wide;
}
inline DoubleMatrix Widen(const Tensor& tensor) { return Widen(tensor.ToF32().AsRows()); }
inline std::vector<double> Widen(std::span<const float> x) { return {x.begin(), x.end()}; }

inline Matrix RandomMatrix(std::int64_t rows, std::int64_t cols, std::uint64_t stream,
                           float deviation = 1.0f) {
  Matrix m(rows, cols);
  Random random(23, stream, RandomPurpose::kTest);
  for (float& x : m.span()) x = deviation * random.Normal();
  return m;
}

// F32, F16 or BF16.
inline Tensor RandomTensor(Type type, std::int64_t rows, std::int64_t cols, std::uint64_t stream,
                           float deviation = 1.0f) {
  const Matrix m = RandomMatrix(rows, cols, stream, deviation);
  if (type == Type::kF32) return Tensor::FromRows(m);
  Tensor tensor = Tensor::Allocate(type, {rows, cols});
  std::byte* to = tensor.mutable_bytes().data();
  for (const float x : m.span()) {
    const std::uint16_t bits = type == Type::kF16 ? F32ToF16(x) : F32ToBF16(x);
    std::memcpy(to, &bits, sizeof(bits));
    to += sizeof(bits);
  }
  return tensor;
}

// The scalar that tests differentiate: the sum of the elements of y, each times a fixed random weight. Its
// gradient with respect to y is `probe` itself.
inline double Probed(RowsOf<const double> y, ConstRows probe) {
  double sum = 0;
  for (std::int64_t i = 0; i < y.rows; ++i) {
    for (std::int64_t j = 0; j < y.cols; ++j) sum += y.at(i, j) * static_cast<double>(probe.at(i, j));
  }
  return sum;
}

// Expects matrices to agree within `tolerance` times the largest element.
inline void ExpectClose(ConstRows got, RowsOf<const double> want, double tolerance, const std::string& what) {
  ASSERT_EQ(got.rows, want.rows) << what;
  ASSERT_EQ(got.cols, want.cols) << what;
  double error = 0, largest = 0;
  for (std::int64_t i = 0; i < got.rows; ++i) {
    for (std::int64_t j = 0; j < got.cols; ++j) {
      ASSERT_TRUE(std::isfinite(got.at(i, j))) << what << " at " << i << ", " << j;
      error = std::max(error, std::abs(static_cast<double>(got.at(i, j)) - want.at(i, j)));
      largest = std::max(largest, std::abs(want.at(i, j)));
    }
  }
  EXPECT_LE(error, tolerance * largest) << what;
}

inline constexpr double kGradientTolerance = 5e-5;  // of float arithmetic, relative to the largest element

// Expects `gradient` to be the derivative of loss(), a function of doubles, with respect to `parameter`.
// Checks every `stride`-th element and, if that leaves some out, the derivative along a random direction
// through all elements.
template <class Loss>
void ExpectGradient(const std::string& what, std::span<double> parameter, std::span<const float> gradient,
                    Loss&& loss, std::size_t stride = 1) {
  ASSERT_EQ(parameter.size(), gradient.size()) << what;
  // A finite difference has an error of second order in the step, and a rounding error divided by the step.
  // Both are below 1e-8.
  constexpr double kStep = 1e-4;
  double worst = 0, largest = 0;
  std::size_t where = 0;
  for (std::size_t i = 0; i < parameter.size(); i += stride) {
    const double kept = parameter[i];
    parameter[i] = kept + kStep;
    const double above = loss();
    parameter[i] = kept - kStep;
    const double below = loss();
    parameter[i] = kept;
    const double want = (above - below) / (2 * kStep);
    const double error = std::abs(want - static_cast<double>(gradient[i]));
    ASSERT_FALSE(std::isnan(error)) << what << " at " << i;
    largest = std::max(largest, std::abs(want));
    if (error > worst) {
      worst = error;
      where = i;
    }
  }
  EXPECT_GT(largest, 1e-6) << what << ": a gradient that vanishes proves nothing";
  EXPECT_LE(worst, kGradientTolerance * largest)
      << what << ": element " << where << " of " << parameter.size();
  if (stride == 1) return;

  std::vector<double> kept(parameter.begin(), parameter.end()), direction(parameter.size());
  Random random(29, parameter.size(), RandomPurpose::kTest);
  double got = 0, length = 0;
  for (std::size_t i = 0; i < direction.size(); ++i) {
    direction[i] = static_cast<double>(random.Normal());
    got += direction[i] * static_cast<double>(gradient[i]);
    length += std::pow(direction[i] * static_cast<double>(gradient[i]), 2);
  }
  const auto moved = [&](double step) {
    for (std::size_t i = 0; i < direction.size(); ++i) parameter[i] = kept[i] + step * direction[i];
    return loss();
  };
  constexpr double kSmallStep = 1e-5;
  const double want = (moved(kSmallStep) - moved(-kSmallStep)) / (2 * kSmallStep);
  std::ranges::copy(kept, parameter.begin());
  EXPECT_NEAR(got, want, 2 * kGradientTolerance * std::sqrt(length)) << what << ": along a random direction";
}

template <class Loss>
void ExpectGradient(const std::string& what, DoubleMatrix& parameter, const Matrix& gradient, Loss&& loss,
                    std::size_t stride = 1) {
  ExpectGradient(what, parameter.span(), gradient.span(), loss, stride);
}

}  // namespace longspan::oracle
