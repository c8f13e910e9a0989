// The loops are kept free of branches and of types wider than they need, so that the compiler vectorises them.
#include <cstring>

#include "tensor/block_codec.h"
#include "tensor/blocks.h"

namespace longspan {
namespace {

// Element i's bit of a block's 32 high bits. A table, because a shift by a varying count does not vectorise.
constexpr std::array<std::uint32_t, kBlock> kBit = [] {
  std::array<std::uint32_t, kBlock> bits{};
  for (int i = 0; i < kBlock; ++i) bits[i] = std::uint32_t{1} << i;
  return bits;
}();

// Element i's fifth bit, in its place.
int FifthBit(std::uint32_t high, int i) { return (high & kBit[i]) != 0 ? 16 : 0; }

std::uint32_t HighBits(const std::array<std::uint8_t, 4>& bytes) {
  std::uint32_t bits;
  std::memcpy(&bits, bytes.data(), sizeof(bits));
  return bits;
}

}  // namespace

void DecodeQ8_0(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockQ8_0*>(from);
  for (std::int64_t n = elements / kBlock; n > 0; --n, ++block, to += kBlock) {
    const float d = block->d.ToFloat();
    for (int i = 0; i < kBlock; ++i) to[i] = d * static_cast<float>(block->q[i]);
  }
}

void DecodeQ4_0(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockQ4_0*>(from);
  for (std::int64_t n = elements / kBlock; n > 0; --n, ++block, to += kBlock) {
    const float d = block->d.ToFloat();
    for (int i = 0; i < 16; ++i) {
      to[i] = d * static_cast<float>((block->q[i] & 15) - 8);
      to[i + 16] = d * static_cast<float>((block->q[i] >> 4) - 8);
    }
  }
}

void DecodeQ4_1(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockQ4_1*>(from);
  for (std::int64_t n = elements / kBlock; n > 0; --n, ++block, to += kBlock) {
    const float d = block->d.ToFloat(), m = block->m.ToFloat();
    for (int i = 0; i < 16; ++i) {
      to[i] = d * static_cast<float>(block->q[i] & 15) + m;
      to[i + 16] = d * static_cast<float>(block->q[i] >> 4) + m;
    }
  }
}

void DecodeQ5_0(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockQ5_0*>(from);
  for (std::int64_t n = elements / kBlock; n > 0; --n, ++block, to += kBlock) {
    const float d = block->d.ToFloat();
    const std::uint32_t high = HighBits(block->high);
    for (int i = 0; i < 16; ++i) {
      to[i] = d * static_cast<float>(((block->q[i] & 15) | FifthBit(high, i)) - 16);
      to[i + 16] = d * static_cast<float>((block->q[i] >> 4 | FifthBit(high, i + 16)) - 16);
    }
  }
}

void DecodeQ5_1(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockQ5_1*>(from);
  for (std::int64_t n = elements / kBlock; n > 0; --n, ++block, to += kBlock) {
    const float d = block->d.ToFloat(), m = block->m.ToFloat();
    const std::uint32_t high = HighBits(block->high);
    for (int i = 0; i < 16; ++i) {
      to[i] = d * static_cast<float>((block->q[i] & 15) | FifthBit(high, i)) + m;
      to[i + 16] = d * static_cast<float>(block->q[i] >> 4 | FifthBit(high, i + 16)) + m;
    }
  }
}

}  // namespace longspan
