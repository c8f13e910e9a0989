// The K types quantise twice: values to codes, and the sub-blocks' scales to small integers. Each sub-block
// is fitted alone; then the integer scales are settled by looking at the error they cause once decoded, and
// the block's own F16 scales are refitted to all that was chosen.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "quantize/block_encode.h"
#include "quantize/block_pack.h"
#include "quantize/block_values.h"
#include "quantize/fit.h"

namespace longspan {
namespace {

constexpr int kRefits = 2;

// `value / unit` as an integer in [low, high].
int RoundTo(float value, float unit, int low, int high) {
  if (unit == 0) return 0;
  return static_cast<int>(
      std::clamp(std::round(value / unit), static_cast<float>(low), static_cast<float>(high)));
}

// ---- Q4_K and Q5_K: x = d scale q - dmin min, 8 sub-blocks of 32.

constexpr int kSub = 32, kSubs = 8, kMaxSubScale = 63;

struct AffineBlock {
  PackedHalf d_packed, dmin_packed;
  float d = 0, dmin = 0;  // as decoded, in the block's units
  SubScales scales{};
  std::array<float, kSuperBlock> codes;
  float error = 0;
};

// Chooses each sub-block's integer scale and min next to its line, and codes, for given d and dmin.
AffineBlock SettleAffine(const BlockValues& block, float d, float dmin, const std::array<Line, kSubs>& lines,
                         int levels) {
  AffineBlock out;
  out.d_packed = block.PackScale(d);
  out.dmin_packed = block.PackScale(dmin);
  out.d = d;
  out.dmin = dmin;
  for (int sub = 0; sub < kSubs; ++sub) {
    const auto x = block.values(kSub * sub, kSub), weights = block.weight(kSub * sub, kSub);
    const int scale0 = RoundTo(lines[sub].scale, d, 0, kMaxSubScale);
    const int min0 = RoundTo(-lines[sub].offset, dmin, 0, kMaxSubScale);
    Coded best =
        Encode(x, weights, d * static_cast<float>(scale0), -dmin * static_cast<float>(min0), 0, levels);
    int best_scale = scale0, best_min = min0;
    for (int scale = std::max(0, scale0 - 1); scale <= std::min(kMaxSubScale, scale0 + 1); ++scale) {
      for (int min = std::max(0, min0 - 1); min <= std::min(kMaxSubScale, min0 + 1); ++min) {
        if (scale == scale0 && min == min0) continue;
        const Coded coded =
            Encode(x, weights, d * static_cast<float>(scale), -dmin * static_cast<float>(min), 0, levels);
        if (coded.error < best.error) {
          best = coded;
          best_scale = scale;
          best_min = min;
        }
      }
    }
    out.scales.scale[sub] = static_cast<std::uint8_t>(best_scale);
    out.scales.min[sub] = static_cast<std::uint8_t>(best_min);
    std::copy_n(best.codes, kSub, out.codes.begin() + kSub * sub);
    out.error += best.error;
  }
  return out;
}

// The d and dmin that suit given integer scales and codes best: least squares of x ~ d (scale q) - dmin
// (min).
void RefitAffine(const BlockValues& block, const AffineBlock& chosen, float& d, float& dmin) {
  double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
  for (int sub = 0; sub < kSubs; ++sub) {
    const float b = -static_cast<float>(chosen.scales.min[sub]), scale = chosen.scales.scale[sub];
    float w = 0, wa = 0, waa = 0, wx = 0, wxa = 0;
    for (int i = kSub * sub; i < kSub * (sub + 1); ++i) {
      const float a = scale * chosen.codes[i], weight = block.weights[i];
      w += weight;
      wa += weight * a;
      waa += weight * a * a;
      wx += weight * block.x[i];
      wxa += weight * block.x[i] * a;
    }
    aa += waa;
    ab += b * wa;
    bb += b * b * w;
    xa += wxa;
    xb += b * wx;
  }
  const double determinant = aa * bb - ab * ab;
  if (determinant > 1e-6 * aa * bb) {
    d = static_cast<float>((xa * bb - xb * ab) / determinant);
    dmin = static_cast<float>((xb * aa - xa * ab) / determinant);
  } else if (aa > 0 && bb == 0) {
    d = static_cast<float>(xa / aa);
  }
}

AffineBlock EncodeAffine(const BlockValues& block, int levels) {
  std::array<Line, kSubs> lines;
  float top_scale = 0, top_min = 0;
  for (int sub = 0; sub < kSubs; ++sub) {
    lines[sub] = FitLine(block.values(kSub * sub, kSub), block.weight(kSub * sub, kSub), levels,
                         OffsetSign::kNotPositive);
    top_scale = std::max(top_scale, lines[sub].scale);
    top_min = std::max(top_min, -lines[sub].offset);
  }
  AffineBlock best = SettleAffine(block, top_scale / kMaxSubScale, top_min / kMaxSubScale, lines, levels);
  for (int i = 0; i < kRefits && best.error > 0; ++i) {
    float d = best.d, dmin = best.dmin;
    RefitAffine(block, best, d, dmin);
    if (!(d > 0) || dmin < 0) break;
    for (int sub = 0; sub < kSubs; ++sub) {
      lines[sub] = {d * static_cast<float>(best.scales.scale[sub]),
                    -dmin * static_cast<float>(best.scales.min[sub])};
    }
    const AffineBlock next = SettleAffine(block, d, dmin, lines, levels);
    if (next.error >= best.error) break;
    best = next;
  }
  return best;
}

// Fitted codes as they are stored, with `half` added.
SuperCodes Stored(const std::array<float, kSuperBlock>& codes, int half) {
  SuperCodes stored;
  for (int i = 0; i < kSuperBlock; ++i)
    stored[i] = static_cast<std::uint8_t>(static_cast<int>(codes[i]) + half);
  return stored;
}

// ---- Q6_K: x = d scale (q - 32), 16 sub-blocks of 16, signed 8-bit scales.

constexpr int kSub6 = 16, kSubs6 = 16, kHalf6 = 32;

struct SymmetricBlock {
  PackedHalf d_packed;
  float d = 0;
  std::array<std::int8_t, kSubs6> scales;
  std::array<float, kSuperBlock> codes;  // in [-32, 31]
  float error = 0;
};

SymmetricBlock SettleSymmetric(const BlockValues& block, float d, const std::array<float, kSubs6>& fits) {
  SymmetricBlock out;
  out.d_packed = block.PackScale(d);
  out.d = d;
  for (int sub = 0; sub < kSubs6; ++sub) {
    const auto x = block.values(kSub6 * sub, kSub6), weights = block.weight(kSub6 * sub, kSub6);
    const int scale0 = RoundTo(fits[sub], d, -128, 127);
    Coded best = Encode(x, weights, d * static_cast<float>(scale0), 0, -kHalf6, kHalf6 - 1);
    int best_scale = scale0;
    for (const int scale : {scale0 - 1, scale0 + 1}) {
      if (scale < -128 || scale > 127) continue;
      const Coded coded = Encode(x, weights, d * static_cast<float>(scale), 0, -kHalf6, kHalf6 - 1);
      if (coded.error < best.error) {
        best = coded;
        best_scale = scale;
      }
    }
    out.scales[sub] = static_cast<std::int8_t>(best_scale);
    std::copy_n(best.codes, kSub6, out.codes.begin() + kSub6 * sub);
    out.error += best.error;
  }
  return out;
}

float RefitSymmetric(const BlockValues& block, const SymmetricBlock& chosen) {
  float aa = 0, xa = 0;
  for (int i = 0; i < kSuperBlock; ++i) {
    const float a = static_cast<float>(chosen.scales[i / kSub6]) * chosen.codes[i];
    aa += block.weights[i] * a * a;
    xa += block.weights[i] * block.x[i] * a;
  }
  return aa > 0 ? xa / aa : chosen.d;
}

SymmetricBlock EncodeSymmetric(const BlockValues& block) {
  std::array<float, kSubs6> fits;
  float extreme = 0;
  for (int sub = 0; sub < kSubs6; ++sub) {
    fits[sub] = FitScale(block.values(kSub6 * sub, kSub6), block.weight(kSub6 * sub, kSub6), kHalf6);
    if (std::abs(fits[sub]) > std::abs(extreme)) extreme = fits[sub];
  }
  // The largest scale becomes -128, one finer than 127.
  SymmetricBlock best = SettleSymmetric(block, extreme / -128, fits);
  for (int i = 0; i < kRefits && best.error > 0; ++i) {
    const float d = RefitSymmetric(block, best);
    for (int sub = 0; sub < kSubs6; ++sub) fits[sub] = d * static_cast<float>(best.scales[sub]);
    const SymmetricBlock next = SettleSymmetric(block, d, fits);
    if (next.error >= best.error) break;
    best = next;
  }
  return best;
}

// Calls encode(values) for every block of a row.
template <class Block, class EncodeBlock>
void ForEachBlock(const float* from, std::byte* to, std::int64_t elements, const float* importance,
                  const EncodeBlock& encode) {
  for (std::int64_t first = 0; first < elements; first += kSuperBlock, to += sizeof(Block)) {
    const BlockValues values =
        PrepareBlock(from + first, importance != nullptr ? importance + first : nullptr, kSuperBlock);
    const Block block = encode(values);
    std::memcpy(to, &block, sizeof(block));
  }
}

}  // namespace

void EncodeQ4_K(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  ForEachBlock<BlockQ4_K>(from, to, elements, importance, [](const BlockValues& values) {
    const AffineBlock a = EncodeAffine(values, 15);
    const SuperCodes codes = Stored(a.codes, 0);
    return BlockQ4_K{a.d_packed, a.dmin_packed, PackScales(a.scales), PackNibbles(codes)};
  });
}

void EncodeQ5_K(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  ForEachBlock<BlockQ5_K>(from, to, elements, importance, [](const BlockValues& values) {
    const AffineBlock a = EncodeAffine(values, 31);
    const SuperCodes codes = Stored(a.codes, 0);
    return BlockQ5_K{a.d_packed, a.dmin_packed, PackScales(a.scales), PackFifthBits(codes),
                     PackNibbles(codes)};
  });
}

void EncodeQ6_K(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  ForEachBlock<BlockQ6_K>(from, to, elements, importance, [](const BlockValues& values) {
    const SymmetricBlock s = EncodeSymmetric(values);
    const SixBits bits = PackSixBits(Stored(s.codes, kHalf6));
    return BlockQ6_K{bits.low, bits.high, s.scales, s.d_packed};
  });
}

}  // namespace longspan
