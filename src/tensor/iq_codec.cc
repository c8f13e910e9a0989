#include <bit>

#include "tensor/block_codec.h"
#include "tensor/iq_blocks.h"
#include "tensor/iq_points.h"

namespace longspan {
namespace {

inline float WithSign(float x, std::uint32_t mask) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) ^ mask);
}

// Writes an octet, which is one point or two: magnitudes times a scale, with signs.
inline void PutOctet(float scale, const std::array<float, 8>& point, unsigned signs, float* __restrict to) {
  const std::uint32_t* mask = kSignMasks[signs].data();
  for (int i = 0; i < 8; ++i) to[i] = WithSign(scale * point[i], mask[i]);
}
inline void PutOctet(float scale, const std::array<float, 4>& first, const std::array<float, 4>& second,
                     unsigned signs, float* __restrict to) {
  const std::uint32_t* mask = kSignMasks[signs].data();
  for (int i = 0; i < 4; ++i) to[i] = WithSign(scale * first[i], mask[i]);
  for (int i = 0; i < 4; ++i) to[i + 4] = WithSign(scale * second[i], mask[i + 4]);
}
inline void PutShifted(float scale, const std::array<float, 8>& point, float shift, float* __restrict to) {
  for (int i = 0; i < 8; ++i) to[i] = scale * (point[i] + shift);
}

// d (2 scale + 1).
inline float SubScale(float d, int scale) { return d * static_cast<float>(2 * scale + 1); }

// Indexed by the bit that says whether the shift is down.
constexpr std::array<float, 2> kShifts1{kShift1, -kShift1};

// Calls decode(block, to) for every block of a row.
template <class Block, class Decode>
inline void ForEachBlock(const std::byte* from, float* to, std::int64_t elements, const Decode& decode) {
  const auto* block = reinterpret_cast<const Block*>(from);
  for (std::int64_t n = elements / kSuperBlock; n > 0; --n, ++block, to += kSuperBlock) decode(*block, to);
}

}  // namespace

void DecodeIQ2_XXS(const std::byte* from, float* to, std::int64_t elements) {
  ForEachBlock<BlockIQ2_XXS>(from, to, elements, [](const BlockIQ2_XXS& block, float* x) {
    const float d = block.d.ToFloat();
    for (const BlockIQ2_XXS::Sub& sub : block.subs) {
      const float scale = SubScale(d, sub.rest.scale());
      for (int o = 0; o < 4; ++o, x += kOctet)
        PutOctet(scale, kPointsIQ2_XXS[sub.point[o]], sub.rest.signs(o), x);
    }
  });
}

void DecodeIQ2_XS(const std::byte* from, float* to, std::int64_t elements) {
  ForEachBlock<BlockIQ2_XS>(from, to, elements, [](const BlockIQ2_XS& block, float* x) {
    const float d = block.d.ToFloat();
    for (int sub = 0; sub < kSuperBlock / 16; ++sub) {
      const float scale = SubScale(d, block.scales[sub / 2] >> 4 * (sub % 2) & 15);
      for (int o = 2 * sub; o < 2 * sub + 2; ++o, x += kOctet) {
        const unsigned code = block.code[o].value();
        PutOctet(scale, kPointsIQ2_XS[code & 511], kEvenSigns[code >> 9], x);
      }
    }
  });
}

void DecodeIQ2_S(const std::byte* from, float* to, std::int64_t elements) {
  ForEachBlock<BlockIQ2_S>(from, to, elements, [](const BlockIQ2_S& block, float* x) {
    const float d = block.d.ToFloat();
    for (int sub = 0; sub < kSuperBlock / 16; ++sub) {
      const float scale = SubScale(d, block.scales[sub / 2] >> 4 * (sub % 2) & 15);
      const unsigned high = block.high[sub / 2] >> 4 * (sub % 2);
      for (int o = 2 * sub; o < 2 * sub + 2; ++o, x += kOctet) {
        const unsigned point = block.point[o] | (high >> 2 * (o % 2) & 3) << 8;
        PutOctet(scale, kPointsIQ2_S[point], block.signs[o], x);
      }
    }
  });
}

void DecodeIQ3_XXS(const std::byte* from, float* to, std::int64_t elements) {
  ForEachBlock<BlockIQ3_XXS>(from, to, elements, [](const BlockIQ3_XXS& block, float* x) {
    const float d = block.d.ToFloat();
    const std::uint8_t* point = block.point.data();
    for (const SignsAndScale& rest : block.rest) {
      const float scale = SubScale(d, rest.scale());
      for (int o = 0; o < 4; ++o, point += 2, x += kOctet)
        PutOctet(scale, kPointsIQ3_XXS[point[0]], kPointsIQ3_XXS[point[1]], rest.signs(o), x);
    }
  });
}

void DecodeIQ3_S(const std::byte* from, float* to, std::int64_t elements) {
  ForEachBlock<BlockIQ3_S>(from, to, elements, [](const BlockIQ3_S& block, float* x) {
    const float d = block.d.ToFloat();
    const std::uint8_t* point = block.point.data();
    for (int sub = 0; sub < kSuperBlock / 32; ++sub) {
      const float scale = SubScale(d, block.scales[sub / 2] >> 4 * (sub % 2) & 15);
      const unsigned high = block.high[sub];
      for (int o = 0; o < 4; ++o, point += 2, x += kOctet) {
        PutOctet(scale, kPointsIQ3_S[point[0] | (high >> 2 * o & 1) << 8],
                 kPointsIQ3_S[point[1] | (high >> (2 * o + 1) & 1) << 8], block.signs[4 * sub + o], x);
      }
    }
  });
}

void DecodeIQ1_S(const std::byte* from, float* to, std::int64_t elements) {
  ForEachBlock<BlockIQ1_S>(from, to, elements, [](const BlockIQ1_S& block, float* x) {
    const float d = block.d.ToFloat();
    for (int sub = 0; sub < kSuperBlock / 32; ++sub) {
      const unsigned high = block.high[sub].value();
      const float scale = SubScale(d, high >> 12 & 7), shift = kShifts1[high >> 15];
      for (int o = 0; o < 4; ++o, x += kOctet) {
        const unsigned point = block.point[4 * sub + o] | (high >> 3 * o & 7) << 8;
        PutShifted(scale, kPointsIQ1[point], shift, x);
      }
    }
  });
}

void DecodeIQ1_M(const std::byte* from, float* to, std::int64_t elements) {
  ForEachBlock<BlockIQ1_M>(from, to, elements, [](const BlockIQ1_M& block, float* x) {
    const float d = block.d().ToFloat();
    for (int sub = 0; sub < kSuperBlock / 16; ++sub) {
      const float scale = SubScale(d, block.scales[sub / 4].value() >> 3 * (sub % 4) & 7);
      const unsigned high = block.high[sub];
      for (int o = 0; o < 2; ++o, x += kOctet) {
        const unsigned point = block.point[2 * sub + o] | (high >> 4 * o & 7) << 8;
        PutShifted(scale, kPointsIQ1[point], kShifts1[high >> (4 * o + 3) & 1], x);
      }
    }
  });
}

}  // namespace longspan
