// Numbers that came through a file of 32-bit floats.
#pragma once

#include <charconv>

namespace longspan {

// The number that somebody wrote: 1e-05 rather than 9.99999974737875e-06, which is what an F32 made of it.
// Both round to the same F32. A number that is not an F32 stays as it is.
inline double AsWritten(double value) {
  const auto single = static_cast<float>(value);
  if (static_cast<double>(single) != value) return value;
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), single).ptr;
  double decimal = value;
  std::from_chars(text, end, decimal);
  return decimal;
}

}  // namespace longspan
