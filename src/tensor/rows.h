// Matrices of float: views, and one owner.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/memory.h"

namespace longspan {

// A view of `rows` x `cols` elements; row i begins at data + i * stride.
template <class T>
struct RowsOf {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  RowsOf() = default;
  RowsOf(T* d, std::int64_t r, std::int64_t c) : RowsOf(d, r, c, c) {}
  RowsOf(T* d, std::int64_t r, std::int64_t c, std::int64_t s) : data(d), rows(r), cols(c), stride(s) {}
  // A view that may write is also one that may not.
  operator RowsOf<const T>() const { return {data, rows, cols, stride}; }

  std::span<T> operator[](std::int64_t i) const {
    return {data + i * stride, static_cast<std::size_t>(cols)};
  }
  T& at(std::int64_t i, std::int64_t j) const { return data[i * stride + j]; }
  RowsOf Slice(std::int64_t first, std::int64_t count) const {
    return {data + first * stride, count, cols, stride};
  }
  RowsOf Columns(std::int64_t first, std::int64_t count) const { return {data + first, rows, count, stride}; }
};

using Rows = RowsOf<float>;
using ConstRows = RowsOf<const float>;

// An owned matrix, zero when made.
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::int64_t rows, std::int64_t cols)
      : rows_(rows), cols_(cols), data_(static_cast<std::size_t>(rows * cols), 0.0f) {}

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  std::int64_t size() const { return rows_ * cols_; }
  float* data() { return data_.data(); }
  const float* data() const { return data_.data(); }
  std::span<float> span() { return data_; }
  std::span<const float> span() const { return data_; }
  std::span<float> operator[](std::int64_t i) { return Rows(*this)[i]; }
  std::span<const float> operator[](std::int64_t i) const { return ConstRows(*this)[i]; }
  operator Rows() { return {data_.data(), rows_, cols_}; }
  operator ConstRows() const { return {data_.data(), rows_, cols_}; }

  // Changes the dimensions and reuses the memory where it suffices. The contents are then unspecified.
  void Resize(std::int64_t rows, std::int64_t cols) {
    rows_ = rows;
    cols_ = cols;
    const auto size = static_cast<std::size_t>(rows * cols);
    if (size > data_.capacity()) data_.clear();  // so that nothing is copied to the new memory
    data_.resize(size);
  }

 private:
  std::int64_t rows_ = 0, cols_ = 0;
  std::vector<float, UnsetAllocator<float>> data_;
};

}  // namespace longspan
