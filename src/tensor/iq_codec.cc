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

// Points of eight magnitudes, and a scale for each kShared octets.
template <class Block, int kShared, std::size_t kPoints>
inline void DecodeIQ2(const PointTable<kPoints, 8>& points, const std::byte* from, float* to,
                      std::int64_t elements) {
  ForEachBlock<Block>(from, to, elements, [&](const Block& block, float* x) {
    const float d = block.d.ToFloat();
    for (int o = 0; o < kOctets; ++o, x += kOctet)
      PutOctet(SubScale(d, block.Scale(o / kShared)), points[block.Point(o)], block.Signs(o), x);
  });
}

// Points of four magnitudes.
template <class Block, std::size_t kPoints>
inline void DecodeIQ3(const PointTable<kPoints, 4>& points, const std::byte* from, float* to,
                      std::int64_t elements) {
  ForEachBlock<Block>(from, to, elements, [&](const Block& block, float* x) {
    const float d = block.d.ToFloat();
    for (int o = 0; o < kOctets; ++o, x += kOctet) {
      PutOctet(SubScale(d, block.Scale(o / 4)), points[block.Point(2 * o)], points[block.Point(2 * o + 1)],
               block.Signs(o), x);
    }
  });
}

template <class Block, int kShared>
inline void DecodeOctetsIQ1(const Block& block, float d, float* x) {
  for (int o = 0; o < kOctets; ++o, x += kOctet) {
    PutShifted(SubScale(d, block.Scale(o / kShared)), kPointsIQ1[block.Point(o)],
               kShifts1[block.ShiftsDown(o) ? 1 : 0], x);
  }
}

}  // namespace

void DecodeIQ2_XXS(const std::byte* from, float* to, std::int64_t elements) {
  DecodeIQ2<BlockIQ2_XXS, 4>(kPointsIQ2_XXS, from, to, elements);
}

void DecodeIQ2_XS(const std::byte* from, float* to, std::int64_t elements) {
  DecodeIQ2<BlockIQ2_XS, 2>(kPointsIQ2_XS, from, to, elements);
}

void DecodeIQ2_S(const std::byte* from, float* to, std::int64_t elements) {
  DecodeIQ2<BlockIQ2_S, 2>(kPointsIQ2_S, from, to, elements);
}

void DecodeIQ3_XXS(const std::byte* from, float* to, std::int64_t elements) {
  DecodeIQ3<BlockIQ3_XXS>(kPointsIQ3_XXS, from, to, elements);
}

void DecodeIQ3_S(const std::byte* from, float* to, std::int64_t elements) {
  DecodeIQ3<BlockIQ3_S>(kPointsIQ3_S, from, to, elements);
}

void DecodeIQ1_S(const std::byte* from, float* to, std::int64_t elements) {
  ForEachBlock<BlockIQ1_S>(from, to, elements, [](const BlockIQ1_S& block, float* x) {
    DecodeOctetsIQ1<BlockIQ1_S, 4>(block, block.d.ToFloat(), x);
  });
}

void DecodeIQ1_M(const std::byte* from, float* to, std::int64_t elements) {
  ForEachBlock<BlockIQ1_M>(from, to, elements, [](const BlockIQ1_M& block, float* x) {
    DecodeOctetsIQ1<BlockIQ1_M, 2>(block, block.d().ToFloat(), x);
  });
}

}  // namespace longspan
