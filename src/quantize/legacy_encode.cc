#include <algorithm>
#include <cmath>
#include <cstring>

#include "quantize/block_encode.h"
#include "quantize/block_pack.h"
#include "quantize/block_values.h"
#include "quantize/fit.h"

namespace longspan {
namespace {

struct Symmetric {
  PackedHalf d;
  Codes codes;  // stored with `half` added
};

Symmetric EncodeSymmetric(const BlockValues& block, int half) {
  const auto x = block.values(0, kBlock), weights = block.weight(0, kBlock);
  Symmetric out;
  float scale = FitScale(x, weights, half);
  out.d = block.PackScale(scale);
  const Coded coded = Encode(x, weights, scale, 0, -half, half - 1);
  for (int i = 0; i < kBlock; ++i)
    out.codes[i] = static_cast<std::uint8_t>(static_cast<int>(coded.codes[i]) + half);
  return out;
}

struct Affine {
  PackedHalf d;
  PackedHalf m;
  Codes codes;
};

Affine EncodeAffine(const BlockValues& block, int levels) {
  const auto x = block.values(0, kBlock), weights = block.weight(0, kBlock);
  Affine out;
  Line line = FitLine(x, weights, levels, OffsetSign::kAny);
  out.d = block.PackScale(line.scale);
  out.m = block.PackOffset(line.offset);
  const Coded coded = Encode(x, weights, line.scale, line.offset, 0, levels);
  for (int i = 0; i < kBlock; ++i) out.codes[i] = static_cast<std::uint8_t>(coded.codes[i]);
  return out;
}

// Calls encode(values, block) for every block of a row.
template <class Block, class EncodeBlock>
void ForEachBlock(const float* from, std::byte* to, std::int64_t elements, const float* importance,
                  const EncodeBlock& encode) {
  for (std::int64_t first = 0; first < elements; first += kBlock, to += sizeof(Block)) {
    const BlockValues values =
        PrepareBlock(from + first, importance != nullptr ? importance + first : nullptr, kBlock);
    const Block block = encode(values);
    std::memcpy(to, &block, sizeof(block));
  }
}

}  // namespace

// 8 bits leave so little error that a search gains nothing: the largest value is code 127.
void EncodeQ8_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  ForEachBlock<BlockQ8_0>(from, to, elements, importance, [](const BlockValues& values) {
    float extreme = 0;
    for (const float x : values.values(0, kBlock)) extreme = std::max(extreme, std::abs(x));
    BlockQ8_0 block;
    float scale = extreme / 127;
    block.d = values.PackScale(scale);
    const Coded coded = Encode(values.values(0, kBlock), values.weight(0, kBlock), scale, 0, -127, 127);
    for (int i = 0; i < kBlock; ++i) block.q[i] = static_cast<std::int8_t>(coded.codes[i]);
    return block;
  });
}

void EncodeQ4_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  ForEachBlock<BlockQ4_0>(from, to, elements, importance, [](const BlockValues& values) {
    const Symmetric s = EncodeSymmetric(values, 8);
    return BlockQ4_0{s.d, PackNibbles(s.codes)};
  });
}

void EncodeQ5_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  ForEachBlock<BlockQ5_0>(from, to, elements, importance, [](const BlockValues& values) {
    const Symmetric s = EncodeSymmetric(values, 16);
    return BlockQ5_0{s.d, PackFifthBits(s.codes), PackNibbles(s.codes)};
  });
}

void EncodeQ4_1(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  ForEachBlock<BlockQ4_1>(from, to, elements, importance, [](const BlockValues& values) {
    const Affine a = EncodeAffine(values, 15);
    return BlockQ4_1{a.d, a.m, PackNibbles(a.codes)};
  });
}

void EncodeQ5_1(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  ForEachBlock<BlockQ5_1>(from, to, elements, importance, [](const BlockValues& values) {
    const Affine a = EncodeAffine(values, 31);
    return BlockQ5_1{a.d, a.m, PackFifthBits(a.codes), PackNibbles(a.codes)};
  });
}

}  // namespace longspan
