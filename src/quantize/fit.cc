#include "quantize/fit.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace longspan {
namespace {

// Where the largest value lands, relative to the end of the code range. Whole numbers recover values that were
// quantised before; the others let a few outliers be clipped, or leave room at the end, for the others' sake.
constexpr std::array<float, 8> kShifts{0, -0.5f, -1, -1.5f, -2, -3, 0.5f, 1};

// A candidate must win by this much, so that an exact fit is not traded for its equal up to rounding.
constexpr float kClearlyLess = 0.9999f;
constexpr int kRefits = 4;

struct Moments {
  double w, q, qq, x, xq;
};

Moments Measure(std::span<const float> x, std::span<const float> weights, const float* codes) {
  float w = 0, q = 0, qq = 0, sx = 0, xq = 0;
#pragma omp simd reduction(+ : w, q, qq, sx, xq)
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float wq = weights[i] * codes[i];
    w += weights[i];
    q += wq;
    qq += wq * codes[i];
    sx += weights[i] * x[i];
    xq += wq * x[i];
  }
  return {w, q, qq, sx, xq};
}

// The least-squares line for given codes.
Line Solve(const Moments& m, OffsetSign sign, const Line& otherwise) {
  const double determinant = m.w * m.qq - m.q * m.q;
  if (determinant <= 1e-7 * m.w * m.qq) return otherwise;  // all codes are equal
  Line line{static_cast<float>((m.w * m.xq - m.x * m.q) / determinant),
            static_cast<float>((m.qq * m.x - m.q * m.xq) / determinant)};
  if (sign == OffsetSign::kNotPositive && line.offset > 0) line = {static_cast<float>(m.xq / m.qq), 0};
  return line.scale > 0 ? line : otherwise;
}

// Encode for a count that the compiler knows.
template <int kCount>
float EncodeFixed(const float* __restrict x, const float* __restrict weights, float scale, float offset, int low,
                  int high, float* __restrict codes) {
  const float inverse = scale != 0 ? 1 / scale : 0;
  // Shifted to be positive, rounding is truncation, which every instruction set has.
  const float shift = 0.5f - static_cast<float>(low), top = static_cast<float>(high - low) + 0.5f;
  float error = 0;
#pragma omp simd reduction(+ : error)
  for (int i = 0; i < kCount; ++i) {
    float shifted = (x[i] - offset) * inverse + shift;
    shifted = shifted > 0 ? shifted : 0;
    shifted = shifted < top ? shifted : top;
    const float code = static_cast<float>(static_cast<int>(shifted) + low);
    const float miss = x[i] - scale * code - offset;
    error += weights[i] * miss * miss;
    codes[i] = code;
  }
  return error;
}

}  // namespace

Coded Encode(std::span<const float> x, std::span<const float> weights, float scale, float offset, int low, int high) {
  Coded coded;
  coded.error = x.size() == 32
                    ? EncodeFixed<32>(x.data(), weights.data(), scale, offset, low, high, coded.codes)
                    : EncodeFixed<16>(x.data(), weights.data(), scale, offset, low, high, coded.codes);
  return coded;
}

float FitScale(std::span<const float> x, std::span<const float> weights, int half) {
  float extreme = 0;
  for (const float value : x) {
    if (std::abs(value) > std::abs(extreme)) extreme = value;
  }
  if (extreme == 0) return 0;
  const int low = -half, high = half - 1;
  float best = 0, best_error = INFINITY;
  const auto consider = [&](float scale) {
    const Coded coded = Encode(x, weights, scale, 0, low, high);
    if (coded.error < kClearlyLess * best_error) {
      best_error = coded.error;
      best = scale;
    }
    const Moments m = Measure(x, weights, coded.codes);
    return m.qq > 0 ? static_cast<float>(m.xq / m.qq) : scale;
  };
  for (const float shift : kShifts) {
    // The extreme as the most negative code, or as the most positive one.
    consider(consider(-extreme / (static_cast<float>(half) + shift)));
    consider(consider(extreme / (static_cast<float>(half - 1) + shift)));
    if (best_error == 0) return best;
  }
  for (int i = 0; i < kRefits; ++i) {
    const float before = best;
    consider(consider(best));
    if (best == before) break;
  }
  return best;
}

Line FitLine(std::span<const float> x, std::span<const float> weights, int levels, OffsetSign sign) {
  auto [low, high] = std::ranges::minmax(x);
  if (sign == OffsetSign::kNotPositive) low = std::min(low, 0.0f);
  if (high <= low) return {0, low};
  Line best{0, low};
  float best_error = INFINITY;
  const auto consider = [&](const Line& line) {
    const Coded coded = Encode(x, weights, line.scale, line.offset, 0, levels);
    if (coded.error < kClearlyLess * best_error) {
      best_error = coded.error;
      best = line;
    }
    return Solve(Measure(x, weights, coded.codes), sign, line);
  };
  for (const float shift : kShifts) {
    consider(consider({(high - low) / (static_cast<float>(levels) + shift), low}));
    if (best_error == 0) return best;
  }
  for (int i = 0; i < kRefits; ++i) {
    const Line before = best;
    consider(consider(best));
    if (best.scale == before.scale && best.offset == before.offset) break;
  }
  return best;
}

}  // namespace longspan
