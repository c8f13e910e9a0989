// Known answers, worked out by hand from the format. Each test sets a few bits and says which elements they
// belong to.
#include "tensor/blocks.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "tensor/codec.h"

namespace longspan {
namespace {

template <class Block>
std::vector<float> Decode(Type type, const Block& block) {
  EXPECT_EQ(Traits(type).block_bytes, static_cast<std::int64_t>(sizeof(Block)));
  std::vector<float> x(static_cast<std::size_t>(Traits(type).block_elements));
  // Decodes from an odd address, because a file may have a block there.
  std::vector<std::byte> bytes(sizeof(Block) + 1);
  std::memcpy(bytes.data() + 1, &block, sizeof(Block));
  DecodeRow(type, bytes.data() + 1, x.data(), Traits(type).block_elements);
  return x;
}

TEST(Blocks, HalfIsLittleEndian) {
  const PackedHalf half = PackedHalf::FromFloat(1.5f);
  EXPECT_EQ(half.bytes[0], 0x00);
  EXPECT_EQ(half.bytes[1], 0x3e);
  EXPECT_EQ(half.ToFloat(), 1.5f);
}

TEST(Blocks, Q8_0) {
  BlockQ8_0 block{};
  block.d = PackedHalf::FromFloat(0.5f);
  block.q[0] = -128;
  block.q[31] = 127;
  const auto x = Decode(Type::kQ8_0, block);
  EXPECT_EQ(x[0], -64.0f);
  EXPECT_EQ(x[1], 0.0f);
  EXPECT_EQ(x[31], 63.5f);
}

TEST(Blocks, Q4_0) {
  BlockQ4_0 block{};
  block.d = PackedHalf::FromFloat(2.0f);
  block.q[3] = 0xf1;  // element 3 is 1, element 19 is 15
  const auto x = Decode(Type::kQ4_0, block);
  EXPECT_EQ(x[3], -14.0f);
  EXPECT_EQ(x[19], 14.0f);
  EXPECT_EQ(x[0], -16.0f);
}

TEST(Blocks, Q4_1) {
  BlockQ4_1 block{};
  block.d = PackedHalf::FromFloat(0.25f);
  block.m = PackedHalf::FromFloat(-1.0f);
  block.q[15] = 0x4f;
  const auto x = Decode(Type::kQ4_1, block);
  EXPECT_EQ(x[15], 2.75f);
  EXPECT_EQ(x[31], 0.0f);
  EXPECT_EQ(x[0], -1.0f);
}

TEST(Blocks, Q5_0) {
  BlockQ5_0 block{};
  block.d = PackedHalf::FromFloat(1.0f);
  block.high = {0x02, 0, 0x01, 0x80};  // elements 1, 16 and 31
  block.q[1] = 0x03;
  block.q[15] = 0xf0;
  const auto x = Decode(Type::kQ5_0, block);
  EXPECT_EQ(x[1], 3.0f);    // 16 + 3 - 16
  EXPECT_EQ(x[16], 0.0f);   // 16 + 0 - 16
  EXPECT_EQ(x[31], 15.0f);  // 16 + 15 - 16
  EXPECT_EQ(x[17], -16.0f);
}

TEST(Blocks, Q5_1) {
  BlockQ5_1 block{};
  block.d = PackedHalf::FromFloat(1.0f);
  block.m = PackedHalf::FromFloat(0.5f);
  block.high = {0, 0x01, 0, 0x01};  // elements 8 and 24
  block.q[8] = 0x21;
  const auto x = Decode(Type::kQ5_1, block);
  EXPECT_EQ(x[8], 17.5f);
  EXPECT_EQ(x[24], 18.5f);
  EXPECT_EQ(x[0], 0.5f);
}

TEST(Blocks, Q2_K) {
  BlockQ2_K block{};
  block.d = PackedHalf::FromFloat(1.0f);
  block.dmin = PackedHalf::FromFloat(0.5f);
  block.scales.fill(0x01);
  block.scales[3] = 0x2a;   // elements 48-63: scale 10, min 2
  block.scales[15] = 0x13;  // elements 240-255: scale 3, min 1
  block.q[16] = 0x0c;       // bits 2-3: stripe 1, so element 32 + 16
  block.q[63] = 0x80;       // bits 6-7: half 1, stripe 3, byte 31: element 128 + 96 + 31
  const auto x = Decode(Type::kQ2_K, block);
  EXPECT_EQ(x[48], 29.0f);  // 10 * 3 - 0.5 * 2
  EXPECT_EQ(x[49], -1.0f);
  EXPECT_EQ(x[255], 5.5f);  // 3 * 2 - 0.5
  EXPECT_EQ(x[0], 0.0f);
}

TEST(Blocks, Q3_K) {
  BlockQ3_K block{};
  block.d = PackedHalf::FromFloat(1.0f);
  block.scales[0] = 0x21;   // scale 0 has low bits 1, scale 8 has 2
  block.scales[7] = 0x50;   // scale 15 has low bits 5
  block.scales[8] = 0x32;   // scale 0 has high bits 2 (bits 0-1), scale 8 has 3 (bits 4-5)
  block.scales[11] = 0x80;  // scale 15 has high bits 2 (bits 6-7)
  block.q[0] = 0x03;        // element 0
  block.q[32] = 0x01;       // element 128
  block.q[63] = 0xc0;       // element 255
  block.high[0] = 0x11;     // elements 0 (stripe 0) and 128 (stripe 4)
  block.high[31] = 0x80;    // element 255 (stripe 7)
  const auto x = Decode(Type::kQ3_K, block);
  EXPECT_EQ(x[0], (33 - 32) * (7 - 4));
  EXPECT_EQ(x[128], (50 - 32) * (5 - 4));
  EXPECT_EQ(x[255], (37 - 32) * (7 - 4));
  EXPECT_EQ(x[1], (33 - 32) * -4);
}

TEST(Blocks, SixBitScales) {
  std::array<std::uint8_t, 12> bytes{};
  bytes[1] = 0x80 | 63;  // scale 1, and the high bits (2) of scale 5
  bytes[6] = 0x40 | 7;   // min 2, and the high bits (1) of min 6
  bytes[9] = 0x0c;       // low bits of scale 5
  bytes[10] = 0xd0;      // low bits of min 6
  const SubScales s = UnpackScales(bytes);
  EXPECT_EQ(s.scale, (std::array<std::uint8_t, 8>{0, 63, 0, 0, 0, 32 + 12, 0, 0}));
  EXPECT_EQ(s.min, (std::array<std::uint8_t, 8>{0, 0, 7, 0, 0, 0, 16 + 13, 0}));
  EXPECT_EQ(PackScales(s), bytes);
}

TEST(Blocks, SixBitScalesRoundTrip) {
  for (int value = 0; value < 64; ++value) {
    SubScales s;
    for (int i = 0; i < 8; ++i) {
      s.scale[i] = static_cast<std::uint8_t>((value + 9 * i) % 64);
      s.min[i] = static_cast<std::uint8_t>((3 * value + 5 * i) % 64);
    }
    const SubScales back = UnpackScales(PackScales(s));
    EXPECT_EQ(back.scale, s.scale);
    EXPECT_EQ(back.min, s.min);
  }
}

TEST(Blocks, Q4_K) {
  BlockQ4_K block{};
  block.d = PackedHalf::FromFloat(0.5f);
  block.dmin = PackedHalf::FromFloat(0.25f);
  SubScales s{};
  s.scale[0] = 2;
  s.scale[7] = 63;
  s.min[7] = 40;
  block.scales = PackScales(s);
  block.q[0] = 0x0f;    // element 0
  block.q[127] = 0x90;  // the high nibble of pair 3: sub-block 7, element 255
  const auto x = Decode(Type::kQ4_K, block);
  EXPECT_EQ(x[0], 15.0f);
  EXPECT_EQ(x[255], 0.5f * 63 * 9 - 0.25f * 40);
  EXPECT_EQ(x[254], -10.0f);
  EXPECT_EQ(x[32], 0.0f);
}

TEST(Blocks, Q5_K) {
  BlockQ5_K block{};
  block.d = PackedHalf::FromFloat(1.0f);
  block.dmin = PackedHalf::FromFloat(1.0f);
  SubScales s{};
  s.scale.fill(1);
  s.min[2] = 3;
  block.scales = PackScales(s);
  block.q[32 + 5] = 0x04;   // pair 1: sub-block 2, element 64 + 5
  block.q[96 + 31] = 0xf0;  // pair 3: sub-block 7, element 224 + 31
  block.high[5] = 0x04;     // bit 2: sub-block 2
  block.high[31] = 0x80;    // bit 7: sub-block 7
  const auto x = Decode(Type::kQ5_K, block);
  EXPECT_EQ(x[69], 17.0f);  // 16 + 4 - 3
  EXPECT_EQ(x[255], 31.0f);
  EXPECT_EQ(x[64], -3.0f);
}

TEST(Blocks, Q6_K) {
  BlockQ6_K block{};
  block.d = PackedHalf::FromFloat(0.5f);
  block.scales.fill(1);
  block.scales[15] = -4;
  block.scales[3] = 2;
  block.low[32 + 17] = 0x05;   // half 0, stripe 1, element 32 + 17, scale 3
  block.high[17] = 0x0c;       // stripe 1: bits 2-3
  block.low[64 + 63] = 0xa0;   // half 1, stripe 3 (high nibble), element 128 + 96 + 31, scale 15
  block.high[32 + 31] = 0x40;  // stripe 3: bits 6-7
  const auto x = Decode(Type::kQ6_K, block);
  EXPECT_EQ(x[49], 0.5f * 2 * (0x35 - 32));
  EXPECT_EQ(x[255], 0.5f * -4 * (0x1a - 32));
  EXPECT_EQ(x[0], -16.0f);
}

TEST(Blocks, IQ4_NL) {
  BlockIQ4_NL block{};
  block.d = PackedHalf::FromFloat(0.5f);
  block.q.fill(0x88);
  block.q[3] = 0xf0;
  const auto x = Decode(Type::kIQ4_NL, block);
  EXPECT_EQ(x[3], 0.5f * -127);
  EXPECT_EQ(x[19], 0.5f * 113);
  EXPECT_EQ(x[0], 0.5f);  // no level is zero
}

TEST(Blocks, IQ4_XS) {
  BlockIQ4_XS block{};
  block.d = PackedHalf::FromFloat(2.0f);
  block.low = {0x05, 0, 0, 0xf0};
  block.high = {0x03, 0x80};  // scale 0 is 48 + 5, scale 7 is 32 + 15, the others are 0
  block.q[0] = 0x90;          // sub-block 0: elements 0 and 16
  block.q[112 + 15] = 0x1e;   // sub-block 7: elements 224 + 15 and 224 + 31
  const auto x = Decode(Type::kIQ4_XS, block);
  EXPECT_EQ(x[0], 2.0f * (53 - 32) * -127);
  EXPECT_EQ(x[16], 2.0f * (53 - 32) * 13);
  EXPECT_EQ(x[239], 2.0f * (47 - 32) * 89);
  EXPECT_EQ(x[255], 2.0f * (47 - 32) * -104);
  EXPECT_EQ(x[32], 2.0f * -32 * -127);
}

TEST(Blocks, MXFP4) {
  BlockMXFP4 block{};
  block.e = 129;  // 2, half of 2^(129 - 127)
  block.q[5] = 0x97;
  block.q[6] = 0x8f;
  auto x = Decode(Type::kMXFP4, block);
  EXPECT_EQ(x[5], 2.0f * 12);
  EXPECT_EQ(x[21], 2.0f * -1);
  EXPECT_EQ(x[6], 2.0f * -12);
  EXPECT_EQ(x[22], 0.0f);
  // The ends of the exponent.
  block.e = 0;
  EXPECT_EQ(Decode(Type::kMXFP4, block)[5], 12 * 0x1p-128f);
  block.e = 1;
  EXPECT_EQ(Decode(Type::kMXFP4, block)[5], 12 * 0x1p-127f);
  block.e = 2;
  EXPECT_EQ(Decode(Type::kMXFP4, block)[5], 12 * 0x1p-126f);
  block.e = 252;
  EXPECT_EQ(Decode(Type::kMXFP4, block)[5], 12 * 0x1p124f);
}

TEST(Blocks, TQ1_0) {
  BlockTQ1_0 block{};
  block.d = PackedHalf::FromFloat(0.5f);
  // The digits 2 0 1 2 1 are 178 of 243: the byte is 256 * 178 / 243, rounded up. A byte of zeros is minus
  // ones.
  block.q[7] = 188;
  block.q[32 + 15] = 188;
  block.high[2] = 188;  // the fifth digit is unused
  const auto x = Decode(Type::kTQ1_0, block);
  const auto expect_digits = [&](std::size_t first, std::size_t step, int digits) {
    const float want[] = {0.5f, -0.5f, 0.0f, 0.5f, 0.0f};
    for (int n = 0; n < digits; ++n)
      EXPECT_EQ(x[first + step * static_cast<std::size_t>(n)], want[n]) << first;
  };
  expect_digits(7, 32, 5);
  expect_digits(160 + 15, 16, 5);
  expect_digits(240 + 2, 4, 4);
  EXPECT_EQ(x[0], -0.5f);
  EXPECT_EQ(x[255], -0.5f);
}

TEST(Blocks, TQ2_0) {
  BlockTQ2_0 block{};
  block.d = PackedHalf::FromFloat(3.0f);
  block.q.fill(0x55);
  block.q[4] = 0x86;        // 2 1 0 2 for the elements 4, 36, 68, 100
  block.q[32 + 31] = 0x15;  // element 255 is 0
  const auto x = Decode(Type::kTQ2_0, block);
  EXPECT_EQ(x[4], 3.0f);
  EXPECT_EQ(x[36], 0.0f);
  EXPECT_EQ(x[68], -3.0f);
  EXPECT_EQ(x[100], 3.0f);
  EXPECT_EQ(x[255], -3.0f);
  EXPECT_EQ(x[128], 0.0f);
}

TEST(Blocks, OtherTypesAreRefused) {
  float x[256];
  const std::byte bytes[66] = {};
  EXPECT_FALSE(CanDecode(Type::kQ8_K));
  EXPECT_THROW(DecodeRow(Type::kQ8_K, bytes, x, 256), Error);
}

}  // namespace
}  // namespace longspan
