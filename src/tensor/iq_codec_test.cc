// Known answers worked out by hand from the format, every point of every code book, and checksums of decoded
// random blocks, recorded when the decoders agreed with ggml's bit for bit.
#include <gtest/gtest.h>

#include <bit>
#include <cstddef>
#include <cstring>
#include <vector>

#include "base/random.h"
#include "tensor/codec.h"
#include "tensor/iq1_grid.h"
#include "tensor/iq2_grids.h"
#include "tensor/iq3_grids.h"
#include "tensor/iq_blocks.h"

namespace longspan {
namespace {

template <class Block>
std::vector<float> Decode(Type type, const Block& block) {
  EXPECT_EQ(Traits(type).block_bytes, static_cast<std::int64_t>(sizeof(Block)));
  std::vector<float> x(kSuperBlock);
  // Decodes from an odd address, because a file may have a block there.
  std::vector<std::byte> bytes(sizeof(Block) + 1);
  std::memcpy(bytes.data() + 1, &block, sizeof(Block));
  DecodeRow(type, bytes.data() + 1, x.data(), kSuperBlock);
  return x;
}

TEST(IqCodec, IQ2_XXS) {
  BlockIQ2_XXS block{};
  block.d = PackedHalf::FromFloat(0.5f);
  block.subs[3].point[2] = 1;  // levels 2, 0, 0, ...: the last byte of ggml's 0x...082b
  // In octet 2 the first and the second value are negative. The eighth then is not, because the number of
  // signs is even. The scale is 5.
  block.subs[3].rest.packed = PackedU32::From(5u << 28 | 3u << 14);
  const auto x = Decode(Type::kIQ2_XXS, block);
  const int at = 3 * 32 + 2 * 8;
  EXPECT_EQ(x[at], -0.5f * 11 * 5.375f);
  EXPECT_EQ(x[at + 1], -0.5f * 11);
  EXPECT_EQ(x[at + 7], 0.5f * 11);
  EXPECT_EQ(x[0], 0.5f);
}

TEST(IqCodec, IQ2_XS) {
  BlockIQ2_XS block{};
  block.d = PackedHalf::FromFloat(1);
  block.code[6] = PackedU16::From(2 | 4u << 9);  // levels 1, 1, 0, ...; one sign, so the eighth bit too
  block.scales[1] = 0x70;                        // sub-block 3, of octets 6 and 7
  const auto x = Decode(Type::kIQ2_XS, block);
  EXPECT_EQ(x[48], 15 * 3.125f);
  EXPECT_EQ(x[49], 15 * 3.125f);
  EXPECT_EQ(x[50], -15.0f);
  EXPECT_EQ(x[55], -15.0f);
  EXPECT_EQ(x[47], 1.0f);
}

TEST(IqCodec, IQ2_S) {
  BlockIQ2_S block{};
  block.d = PackedHalf::FromFloat(1);
  block.point[31] = 0xff;  // with both high bits the last point
  block.high[7] = 0xc0;
  block.signs[31] = 0x80;
  block.scales[7] = 0xf0;
  const auto x = Decode(Type::kIQ2_S, block);
  const unsigned last = kGridIQ2_S.back();
  EXPECT_EQ(x[248], 31 * kLevels2[last & 3]);
  EXPECT_EQ(x[255], -31 * kLevels2[last >> 14]);
}

TEST(IqCodec, IQ3_XXS) {
  BlockIQ3_XXS block{};
  block.d = PackedHalf::FromFloat(2);
  block.point[9] = 5;  // 0x04040c3e: levels 7, 1, 0, 0
  block.rest[1].packed = PackedU32::From(1u << 28 | 0x10);
  const auto x = Decode(Type::kIQ3_XXS, block);
  EXPECT_EQ(x[36], -2.0f * 3 * 15.5f);
  EXPECT_EQ(x[37], 2.0f * 3 * 3);
  EXPECT_EQ(x[39], -2.0f * 3);  // an even number of signs
  EXPECT_EQ(x[38], 2.0f * 3);
}

TEST(IqCodec, IQ3_S) {
  BlockIQ3_S block{};
  block.d = PackedHalf::FromFloat(1);
  block.point[63] = 0xff;
  block.high[7] = 0x80;
  block.signs[31] = 0x01;
  block.scales[3] = 0x20;
  const auto x = Decode(Type::kIQ3_S, block);
  EXPECT_EQ(x[248], -5.0f);
  EXPECT_EQ(x[252], 5 * kLevels3_S[kGridIQ3_S.back() & 7]);
  EXPECT_EQ(x[255], 5 * kLevels3_S[kGridIQ3_S.back() >> 9]);
}

TEST(IqCodec, IQ1_S) {
  BlockIQ1_S block{};
  block.d = PackedHalf::FromFloat(1);
  block.point[5] = 1;  // 1, -1, -1, ...
  block.high[1] = PackedU16::From(0x8000 | 3 << 12);
  block.high[2] = PackedU16::From(7 << 9);  // octet 3's high bits
  const auto x = Decode(Type::kIQ1_S, block);
  EXPECT_EQ(x[40], 7 * (1 - 0.125f));
  EXPECT_EQ(x[41], 7 * (-1 - 0.125f));
  EXPECT_EQ(x[0], -1 + 0.125f);
  EXPECT_EQ(x[64 + 24], kLevels1[kGridIQ1[0x700] & 3] + 0.125f);
}

TEST(IqCodec, IQ1_M) {
  BlockIQ1_M block{};
  const unsigned half = PackedHalf::FromFloat(1.5f).bits();
  for (int i = 0; i < 4; ++i) block.scales[i] = PackedU16::From((half >> 4 * i & 15) << 12);
  block.scales[1] = PackedU16::From(block.scales[1].value() | 2u << 9);  // sub-block 7
  block.point[15] = 1;
  block.high[7] = 0x80;  // octet 15's shift
  const auto x = Decode(Type::kIQ1_M, block);
  EXPECT_EQ(block.d().ToFloat(), 1.5f);
  EXPECT_EQ(x[120], 1.5f * 5 * (1 - 0.125f));
  EXPECT_EQ(x[112], 1.5f * 5 * (-1 + 0.125f));
  EXPECT_EQ(x[0], 1.5f * (-1 + 0.125f));
}

// Expects the values to be the levels of a point whose code has `bits` for each.
template <class Levels>
void ExpectPoint(const float* x, unsigned code, int values, int bits, const Levels& levels, float shift = 0) {
  for (int i = 0; i < values; ++i)
    ASSERT_EQ(x[i], levels[code >> bits * i & ((1 << bits) - 1)] + shift) << "value " << i;
}

TEST(IqCodec, EveryPoint) {
  for (unsigned p = 0; p < 2048; ++p) {
    SCOPED_TRACE(p);
    const auto low = static_cast<std::uint8_t>(p & 255);
    BlockIQ1_S iq1{};
    iq1.d = PackedHalf::FromFloat(1);
    iq1.point[1] = low;
    iq1.high[0] = PackedU16::From(p >> 8 << 3);
    ExpectPoint(Decode(Type::kIQ1_S, iq1).data() + 8, kGridIQ1[p], 8, 2, kLevels1, kShift1);
    if (p < 1024) {
      BlockIQ2_S iq2{};
      iq2.d = PackedHalf::FromFloat(1);
      iq2.point[1] = low;
      iq2.high[0] = static_cast<std::uint8_t>(p >> 8 << 2);
      ExpectPoint(Decode(Type::kIQ2_S, iq2).data() + 8, kGridIQ2_S[p], 8, 2, kLevels2);
    }
    if (p < 512) {
      BlockIQ2_XS iq2{};
      iq2.d = PackedHalf::FromFloat(1);
      iq2.code[1] = PackedU16::From(p);
      ExpectPoint(Decode(Type::kIQ2_XS, iq2).data() + 8, kGridIQ2_XS[p], 8, 2, kLevels2);
      BlockIQ3_S iq3{};
      iq3.d = PackedHalf::FromFloat(1);
      iq3.point[1] = low;
      iq3.high[0] = static_cast<std::uint8_t>(p >> 8 << 1);
      ExpectPoint(Decode(Type::kIQ3_S, iq3).data() + 4, kGridIQ3_S[p], 4, 3, kLevels3_S);
    }
    if (p < 256) {
      BlockIQ2_XXS iq2{};
      iq2.d = PackedHalf::FromFloat(1);
      iq2.subs[0].point[1] = low;
      ExpectPoint(Decode(Type::kIQ2_XXS, iq2).data() + 8, kGridIQ2_XXS[p], 8, 2, kLevels2);
      BlockIQ3_XXS iq3{};
      iq3.d = PackedHalf::FromFloat(1);
      iq3.point[1] = low;
      ExpectPoint(Decode(Type::kIQ3_XXS, iq3).data() + 4, kGridIQ3_XXS[p], 4, 3, kLevels3_XXS);
    }
  }
}

struct Recorded {
  Type type;
  std::uint64_t sum;
};

class IqChecksum : public testing::TestWithParam<Recorded> {};

// FNV-1a over the decoded floats' bits.
TEST_P(IqChecksum, OfRandomBlocks) {
  const auto [type, sum] = GetParam();
  constexpr int kBlocks = 200;
  const auto size = static_cast<std::size_t>(Traits(type).block_bytes);
  BulkRandom random(Random(4, 0, RandomPurpose::kTest));
  std::vector<std::uint8_t> bytes(kBlocks * size);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.Next() >> 56);
  for (std::size_t b = 0; b < kBlocks; ++b) {  // d below 2: finite
    if (type == Type::kIQ1_M) {
      bytes[size * b + 55] &= 0xbf;
    } else {
      bytes[size * b + 1] &= 0xbf;
    }
  }
  std::vector<float> x(kBlocks * kSuperBlock);
  DecodeRow(type, reinterpret_cast<const std::byte*>(bytes.data()), x.data(), std::ssize(x));
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const float value : x) hash = (hash ^ std::bit_cast<std::uint32_t>(value)) * 0x100000001b3u;
  EXPECT_EQ(hash, sum) << std::hex << hash;
}

INSTANTIATE_TEST_SUITE_P(Types, IqChecksum,
                         testing::Values(Recorded{Type::kIQ1_S, 0x998ee48c43876645u},
                                         Recorded{Type::kIQ1_M, 0x8bf797f4918bb605u},
                                         Recorded{Type::kIQ2_XXS, 0x5ee7b05b9da9ecfdu},
                                         Recorded{Type::kIQ2_XS, 0x3fbeb9e5ce71d24du},
                                         Recorded{Type::kIQ2_S, 0xbe716acf40c7808du},
                                         Recorded{Type::kIQ3_XXS, 0xc76ef48c2739c2d5u},
                                         Recorded{Type::kIQ3_S, 0x86d4bfbee4a014e5u}),
                         [](const auto& info) { return std::string(Traits(info.param.type).name); });

}  // namespace
}  // namespace longspan
