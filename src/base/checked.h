// Arithmetic on untrusted sizes. Every function throws Error(kInvalidFile) instead of wrapping.
#pragma once

#include <concepts>
#include <limits>

#include "base/error.h"

namespace longspan {

template <std::integral T>
T CheckedAdd(T a, T b, const char* what) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) Fail(ErrorKind::kInvalidFile, "{}: {} + {} overflows", what, a, b);
  return sum;
}

template <std::integral T>
T CheckedMul(T a, T b, const char* what) {
  T product;
  if (__builtin_mul_overflow(a, b, &product))
    Fail(ErrorKind::kInvalidFile, "{}: {} * {} overflows", what, a, b);
  return product;
}

// `value` as a To, or an error if it does not fit.
template <std::integral To, std::integral From>
To CheckedCast(From value, const char* what) {
  if (!std::in_range<To>(value)) Fail(ErrorKind::kInvalidFile, "{}: {} is out of range", what, value);
  return static_cast<To>(value);
}

// `n` rounded up to a multiple of `alignment`, a power of two.
template <std::unsigned_integral T>
T CheckedAlignUp(T n, T alignment, const char* what) {
  return CheckedAdd<T>(n, alignment - 1, what) & ~(alignment - 1);
}

}  // namespace longspan
