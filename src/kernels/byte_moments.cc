#include "kernels/byte_moments.h"

#include <algorithm>
#include <cmath>

namespace longspan {
namespace {

MomentCodes MakeCodes(bool with_sign) {
  MomentCodes codes{};
  std::size_t n = 0;
  codes.values[n++] = 0;
  codes.values[n++] = 1;
  for (int decade = 0; decade < 7; ++decade) {
    const int parts = (with_sign ? 1 : 2) << decade;
    for (int i = 0; i < parts; ++i) {
      const double middle = 0.1 + 0.9 * (i + 0.5) / parts;
      const auto value = static_cast<float>(middle * std::pow(10.0, decade - 6));
      codes.values[n++] = value;
      if (with_sign) codes.values[n++] = -value;
    }
  }
  std::ranges::sort(codes.values);
  for (std::size_t i = 0; i < codes.limits.size(); ++i)
    codes.limits[i] = (codes.values[i] + codes.values[i + 1]) / 2;
  return codes;
}

}  // namespace

std::uint8_t MomentCodes::Nearest(float x) const {
  std::size_t code = 0;
  for (std::size_t step = 128; step > 0; step /= 2) {
    if (x > limits[code + step - 1]) code += step;
  }
  if (x < 0 && values[code] == 0 && code > 0) --code;
  return static_cast<std::uint8_t>(code);
}

const MomentCodes& SignedMomentCodes() {
  static const MomentCodes codes = MakeCodes(true);
  return codes;
}

const MomentCodes& UnsignedMomentCodes() {
  static const MomentCodes codes = MakeCodes(false);
  return codes;
}

}  // namespace longspan
