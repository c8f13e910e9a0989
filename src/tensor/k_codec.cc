// The K types store codes in stripes: a byte holds codes of elements that lie 32 or more apart, so that one
// load of consecutive bytes serves consecutive elements. The loops below follow the stripes.
#include "tensor/block_codec.h"
#include "tensor/blocks.h"

namespace longspan {
namespace {

// Q3_K's sixteen 6-bit scales, less 32: the low four bits are the nibbles of bytes 0-7 (low nibbles first),
// the high two bits of scale i are bit pair i / 4 of byte 8 + i % 4.
std::array<int, 16> UnpackQ3Scales(const std::array<std::uint8_t, 12>& p) {
  std::array<int, 16> scales;
  for (int i = 0; i < 16; ++i) {
    const int low = p[i % 8] >> (i < 8 ? 0 : 4) & 15;
    const int high = p[8 + i % 4] >> (2 * (i / 4)) & 3;
    scales[i] = (low | high << 4) - 32;
  }
  return scales;
}

}  // namespace

void DecodeQ2_K(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockQ2_K*>(from);
  for (std::int64_t n = elements / kSuperBlock; n > 0; --n, ++block, to += kSuperBlock) {
    const float d = block->d.ToFloat(), dmin = block->dmin.ToFloat();
    for (int sub = 0; sub < 16; ++sub) {
      // Each half of the block has 32 bytes of codes; a byte's four bit pairs belong to elements 32 apart.
      const std::uint8_t* q = block->q.data() + 32 * (sub / 8) + 16 * (sub % 2);
      const int shift = 2 * (sub / 2 % 4);
      const float scale = d * static_cast<float>(block->scales[sub] & 15);
      const float min = dmin * static_cast<float>(block->scales[sub] >> 4);
      float* x = to + 16 * sub;
      for (int i = 0; i < 16; ++i) x[i] = scale * static_cast<float>(q[i] >> shift & 3) - min;
    }
  }
}

void DecodeQ3_K(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockQ3_K*>(from);
  for (std::int64_t n = elements / kSuperBlock; n > 0; --n, ++block, to += kSuperBlock) {
    const float d = block->d.ToFloat();
    const std::array<int, 16> scales = UnpackQ3Scales(block->scales);
    for (int sub = 0; sub < 16; ++sub) {
      // As in Q2_K; the third bits of the eight stripes of 32 elements are the eight bits of `high`.
      const std::uint8_t* q = block->q.data() + 32 * (sub / 8) + 16 * (sub % 2);
      const std::uint8_t* high = block->high.data() + 16 * (sub % 2);
      const int shift = 2 * (sub / 2 % 4), stripe = sub / 2;
      const float scale = d * static_cast<float>(scales[sub]);
      float* x = to + 16 * sub;
      for (int i = 0; i < 16; ++i) {
        x[i] = scale * static_cast<float>(((q[i] >> shift & 3) | (high[i] >> stripe & 1) << 2) - 4);
      }
    }
  }
}

void DecodeQ4_K(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockQ4_K*>(from);
  for (std::int64_t n = elements / kSuperBlock; n > 0; --n, ++block, to += kSuperBlock) {
    const float d = block->d.ToFloat(), dmin = block->dmin.ToFloat();
    const SubScales s = UnpackScales(block->scales);
    for (int pair = 0; pair < 4; ++pair) {  // two sub-blocks share 32 bytes: one has the low nibbles
      const std::uint8_t* q = block->q.data() + 32 * pair;
      const float scale0 = d * static_cast<float>(s.scale[2 * pair]),
                  min0 = dmin * static_cast<float>(s.min[2 * pair]);
      const float scale1 = d * static_cast<float>(s.scale[2 * pair + 1]);
      const float min1 = dmin * static_cast<float>(s.min[2 * pair + 1]);
      float* x = to + 64 * pair;
      for (int i = 0; i < 32; ++i) x[i] = scale0 * static_cast<float>(q[i] & 15) - min0;
      for (int i = 0; i < 32; ++i) x[i + 32] = scale1 * static_cast<float>(q[i] >> 4) - min1;
    }
  }
}

void DecodeQ5_K(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockQ5_K*>(from);
  for (std::int64_t n = elements / kSuperBlock; n > 0; --n, ++block, to += kSuperBlock) {
    const float d = block->d.ToFloat(), dmin = block->dmin.ToFloat();
    const SubScales s = UnpackScales(block->scales);
    for (int sub = 0; sub < 8; ++sub) {  // as Q4_K; sub-block s has its fifth bits in bit s of `high`
      const std::uint8_t* q = block->q.data() + 32 * (sub / 2);
      const std::uint8_t* high = block->high.data();
      const int shift = 4 * (sub % 2);
      const float scale = d * static_cast<float>(s.scale[sub]), min = dmin * static_cast<float>(s.min[sub]);
      float* x = to + 32 * sub;
      for (int i = 0; i < 32; ++i) {
        x[i] = scale * static_cast<float>((q[i] >> shift & 15) | (high[i] >> sub & 1) << 4) - min;
      }
    }
  }
}

void DecodeQ6_K(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockQ6_K*>(from);
  for (std::int64_t n = elements / kSuperBlock; n > 0; --n, ++block, to += kSuperBlock) {
    const float d = block->d.ToFloat();
    for (int sub = 0; sub < 16; ++sub) {
      // Each half of the block has 64 bytes of low nibbles and 32 bytes of high bit pairs, for four stripes
      // of 32 elements: stripes 0 and 1 have the low nibbles, 2 and 3 the high ones.
      const int half = sub / 8, stripe = sub / 2 % 4, offset = 16 * (sub % 2);
      const std::uint8_t* low = block->low.data() + 64 * half + 32 * (stripe % 2) + offset;
      const std::uint8_t* high = block->high.data() + 32 * half + offset;
      const int low_shift = 4 * (stripe / 2), high_shift = 2 * stripe;
      const float scale = d * static_cast<float>(block->scales[sub]);
      float* x = to + 16 * sub;
      for (int i = 0; i < 16; ++i) {
        x[i] =
            scale * static_cast<float>(((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
      }
    }
  }
}

}  // namespace longspan
