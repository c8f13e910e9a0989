// The older types: blocks of 32 with a scale of their own, sixteen blocks side by side.
#include "base/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "encode/legacy_encode.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include "encode/block_encode.h"
#include "encode/block_pack.h"
#include "encode/block_scale.h"
#include "encode/line_fit-inl.h"
#include "encode/scale_fit-inl.h"
#include "encode/search_tables.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

constexpr int kRounds = 2;

// PackFifthBits for codes below 32.
HWY_INLINE std::array<std::uint8_t, 4> FifthBits(const Codes& codes) {
  const hn::CappedTag<std::uint8_t, kBlock> d;
  if constexpr (hn::MaxLanes(d) < 8) return PackFifthBits(codes);
  std::array<std::uint8_t, kBlock / 8> bits;
  for (std::size_t i = 0; i < kBlock; i += hn::MaxLanes(d))
    hn::StoreMaskBits(d, hn::Gt(hn::LoadU(d, codes.data() + i), hn::Set(d, 15)), bits.data() + i / 8);
  return bits;
}

// Calls write(d, codes with kHalf added, block) for every block of a row.
template <int kHalf, class Block, class Write>
void EncodeSymmetric(const float* from, std::byte* to, std::int64_t elements, const float* importance,
                     std::span<const float> plain, std::span<const float> weighted, const Write& write) {
  const auto encode = [&](const float* x, const float* weights, std::byte* out, int blocks) {
    Group<kBlock> group;
    LoadGroup(x, weights, 1, group);
    Lanes scales;
    for (int lane = 0; lane < kGroup; lane += kWidth) {
      const float* lanes = group.x + lane;
      const ScaleFit fit = weights == nullptr
                               ? FitScale<kBlock, kHalf>(lanes, NoWeights(), plain, kRounds)
                               : FitScale<kBlock, kHalf>(lanes, group.weights + lane, weighted, kRounds);
      Store(fit.scale, scales.at + lane);
    }
    std::array<Block, kGroup> written;
    for (int i = 0; i < blocks; ++i) {
      float scale = scales[i];
      const PackedHalf d = PackScale(scale, group.unit[i]);
      Codes codes;
      WriteCodes(x + kBlock * i, kBlock, group.inverse_unit[i], scale, 0, -kHalf, kHalf - 1, codes.data());
      write(d, codes, written[i]);
    }
    std::memcpy(out, written.data(), sizeof(Block) * static_cast<std::size_t>(blocks));
  };
  ForEachGroup<kBlock, Block, 1>(from, importance, to, elements, encode);
}

// Calls write(d, m, codes, block) for every block of a row.
template <int kTop, class Block, class Write>
void EncodeAffine(const float* from, std::byte* to, std::int64_t elements, const float* importance,
                  std::span<const LineStart> plain, std::span<const LineStart> weighted, const Write& write) {
  const auto encode = [&](const float* x, const float* weights, std::byte* out, int blocks) {
    Group<kBlock> group;
    LoadGroup(x, weights, 1, group);
    Lanes scales, offsets;
    for (int lane = 0; lane < kGroup; lane += kWidth) {
      const float* lanes = group.x + lane;
      constexpr OffsetSign kSign = OffsetSign::kAny;
      const Line line =
          weights == nullptr
              ? FitLine<kBlock, kSign>(lanes, NoWeights(), kTop, plain, kRounds).line
              : FitLine<kBlock, kSign>(lanes, group.weights + lane, kTop, weighted, kRounds).line;
      Store(line.scale, scales.at + lane);
      Store(line.offset, offsets.at + lane);
    }
    std::array<Block, kGroup> written;
    for (int i = 0; i < blocks; ++i) {
      float scale = scales[i], offset = offsets[i];
      const PackedHalf d = PackScale(scale, group.unit[i]), m = PackNearest(offset, group.unit[i]);
      Codes codes;
      WriteCodes(x + kBlock * i, kBlock, group.inverse_unit[i], scale, offset, 0, kTop, codes.data());
      write(d, m, codes, written[i]);
    }
    std::memcpy(out, written.data(), sizeof(Block) * static_cast<std::size_t>(blocks));
  };
  ForEachGroup<kBlock, Block, 1>(from, importance, to, elements, encode);
}

}  // namespace

// 8 bits leave so little error that a search gains nothing: the largest value is code 127.
void WriteQ8_0(const float* from, std::byte* to, std::int64_t elements, const float*) {
  const hn::Rebind<std::int8_t, Tag> d8;
  for (; elements > 0; elements -= kBlock, from += kBlock, to += sizeof(BlockQ8_0)) {
    Vec largest = Zero();
    for (int i = 0; i < kBlock; i += kWidth) largest = hn::Max(largest, hn::Abs(hn::LoadU(Tag(), from + i)));
    float scale = hn::GetLane(hn::MaxOfLanes(Tag(), largest)) / 127;
    BlockQ8_0 block;
    block.d = PackScale(scale, 1);
    const Vec inverse = Set(scale > 0 ? 1 / scale : 0);
    for (int i = 0; i < kBlock; i += kWidth) {
      const Vec code = hn::Clamp(hn::Mul(hn::LoadU(Tag(), from + i), inverse), Set(-127), Set(127));
      hn::StoreU(hn::DemoteTo(d8, hn::NearestInt(code)), d8, block.q.data() + i);
    }
    std::memcpy(to, &block, sizeof(block));
  }
}

void WriteQ4_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  EncodeSymmetric<8, BlockQ4_0>(from, to, elements, importance, kSignedStarts4, kWeightedSignedStarts4,
                                [](PackedHalf d, const Codes& codes, BlockQ4_0& block) {
                                  block.d = d;
                                  block.q = PackNibbles(codes);
                                });
}

void WriteQ5_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  EncodeSymmetric<16, BlockQ5_0>(from, to, elements, importance, kSignedStarts5, kWeightedSignedStarts5,
                                 [](PackedHalf d, const Codes& codes, BlockQ5_0& block) {
                                   block.d = d;
                                   block.high = FifthBits(codes);
                                   block.q = PackNibbles(codes);
                                 });
}

void WriteQ4_1(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  EncodeAffine<15, BlockQ4_1>(from, to, elements, importance, kStarts4, kWeightedStarts4,
                              [](PackedHalf d, PackedHalf m, const Codes& codes, BlockQ4_1& block) {
                                block.d = d;
                                block.m = m;
                                block.q = PackNibbles(codes);
                              });
}

void WriteQ5_1(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  EncodeAffine<31, BlockQ5_1>(from, to, elements, importance, kStarts5, kWeightedStarts5,
                              [](PackedHalf d, PackedHalf m, const Codes& codes, BlockQ5_1& block) {
                                block.d = d;
                                block.m = m;
                                block.high = FifthBits(codes);
                                block.q = PackNibbles(codes);
                              });
}

Encoder FindLegacy(Type type) {
  switch (type) {
    case Type::kQ8_0: return WriteQ8_0;
    case Type::kQ4_0: return WriteQ4_0;
    case Type::kQ4_1: return WriteQ4_1;
    case Type::kQ5_0: return WriteQ5_0;
    case Type::kQ5_1: return WriteQ5_1;
    default: return nullptr;
  }
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

HWY_EXPORT(FindLegacy);

Encoder FindLegacyEncoder(Type type) { return HWY_DYNAMIC_DISPATCH(FindLegacy)(type); }

}  // namespace longspan
#endif
