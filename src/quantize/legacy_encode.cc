// The older types: blocks of 32 with a scale of their own, sixteen blocks side by side.
#include "kernels/vector/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantize/legacy_encode.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include "quantize/block_encode.h"
#include "quantize/block_pack.h"
#include "quantize/block_scale.h"
#include "quantize/line_fit-inl.h"
#include "quantize/scale_fit-inl.h"
#include "quantize/search_tables.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

constexpr int kRounds = 2;

// Calls write(d, codes with kHalf added) -> Block for every block of a row.
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
    for (int i = 0; i < blocks; ++i) {
      float scale = scales[i];
      const PackedHalf d = PackScale(scale, group.unit[i]);
      Codes codes;
      WriteCodes(x + kBlock * i, kBlock, group.inverse_unit[i], scale, 0, -kHalf, kHalf - 1, codes.data());
      const Block block = write(d, codes);
      std::memcpy(out + sizeof(block) * static_cast<std::size_t>(i), &block, sizeof(block));
    }
  };
  ForEachGroup<kBlock, Block, 1>(from, importance, to, elements, encode);
}

// Calls write(d, m, codes) -> Block for every block of a row.
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
    for (int i = 0; i < blocks; ++i) {
      float scale = scales[i], offset = offsets[i];
      const PackedHalf d = PackScale(scale, group.unit[i]), m = PackNearest(offset, group.unit[i]);
      Codes codes;
      WriteCodes(x + kBlock * i, kBlock, group.inverse_unit[i], scale, offset, 0, kTop, codes.data());
      const Block block = write(d, m, codes);
      std::memcpy(out + sizeof(block) * static_cast<std::size_t>(i), &block, sizeof(block));
    }
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
                                [](PackedHalf d, const Codes& codes) {
                                  return BlockQ4_0{d, PackNibbles(codes)};
                                });
}

void WriteQ5_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  EncodeSymmetric<16, BlockQ5_0>(from, to, elements, importance, kSignedStarts5, kWeightedSignedStarts5,
                                 [](PackedHalf d, const Codes& codes) {
                                   return BlockQ5_0{d, PackFifthBits(codes), PackNibbles(codes)};
                                 });
}

void WriteQ4_1(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  EncodeAffine<15, BlockQ4_1>(from, to, elements, importance, kStarts4, kWeightedStarts4,
                              [](PackedHalf d, PackedHalf m, const Codes& codes) {
                                return BlockQ4_1{d, m, PackNibbles(codes)};
                              });
}

void WriteQ5_1(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  EncodeAffine<31, BlockQ5_1>(from, to, elements, importance, kStarts5, kWeightedStarts5,
                              [](PackedHalf d, PackedHalf m, const Codes& codes) {
                                return BlockQ5_1{d, m, PackFifthBits(codes), PackNibbles(codes)};
                              });
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

HWY_EXPORT(WriteQ8_0);
HWY_EXPORT(WriteQ4_0);
HWY_EXPORT(WriteQ4_1);
HWY_EXPORT(WriteQ5_0);
HWY_EXPORT(WriteQ5_1);

void EncodeQ8_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  HWY_DYNAMIC_DISPATCH(WriteQ8_0)(from, to, elements, importance);
}
void EncodeQ4_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  HWY_DYNAMIC_DISPATCH(WriteQ4_0)(from, to, elements, importance);
}
void EncodeQ4_1(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  HWY_DYNAMIC_DISPATCH(WriteQ4_1)(from, to, elements, importance);
}
void EncodeQ5_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  HWY_DYNAMIC_DISPATCH(WriteQ5_0)(from, to, elements, importance);
}
void EncodeQ5_1(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  HWY_DYNAMIC_DISPATCH(WriteQ5_1)(from, to, elements, importance);
}

}  // namespace longspan
#endif
