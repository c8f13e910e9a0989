// Packs what iq_fit.h has found as tensor/iq_blocks.h says.
#include <cstring>

#include "encode/block_encode.h"
#include "encode/iq_fit.h"
#include "tensor/iq_blocks.h"

namespace longspan {
namespace {

// Packs two four-bit scales into each byte.
template <std::size_t kBytes>
std::array<std::uint8_t, kBytes> PackScales(const IqCodes& codes) {
  std::array<std::uint8_t, kBytes> packed;
  for (std::size_t i = 0; i < kBytes; ++i)
    packed[i] = static_cast<std::uint8_t>(codes.scales[2 * i] | codes.scales[2 * i + 1] << 4);
  return packed;
}

template <std::size_t kBytes>
std::array<std::uint8_t, kBytes> LowBytes(const IqCodes& codes) {
  std::array<std::uint8_t, kBytes> packed;
  for (std::size_t i = 0; i < kBytes; ++i) packed[i] = static_cast<std::uint8_t>(codes.points[i] & 255);
  return packed;
}

// Packs bits 8 and up of `count` points from `first` on, `bits` each.
unsigned HighBits(const IqCodes& codes, int first, int count, int bits) {
  unsigned packed = 0;
  for (int i = 0; i < count; ++i) packed |= unsigned{codes.points[first + i]} >> 8 << bits * i;
  return packed;
}

SignsAndScale PackSigns(const IqCodes& codes, int sub) {
  std::uint32_t packed = std::uint32_t{codes.scales[sub]} << 28;
  for (int o = 0; o < 4; ++o) packed |= (codes.signs[4 * sub + o] & 127u) << 7 * o;
  return {PackedU32::From(packed)};
}

void Pack(const IqCodes& codes, BlockIQ2_XXS& block) {
  block.d = codes.d;
  for (int sub = 0; sub < 8; ++sub) {
    for (int o = 0; o < 4; ++o)
      block.subs[sub].point[o] = static_cast<std::uint8_t>(codes.points[4 * sub + o]);
    block.subs[sub].rest = PackSigns(codes, sub);
  }
}

void Pack(const IqCodes& codes, BlockIQ2_XS& block) {
  block.d = codes.d;
  for (int o = 0; o < kOctets; ++o)
    block.code[o] = PackedU16::From(codes.points[o] | (codes.signs[o] & 127u) << 9);
  block.scales = PackScales<8>(codes);
}

void Pack(const IqCodes& codes, BlockIQ2_S& block) {
  block.d = codes.d;
  block.point = LowBytes<kOctets>(codes);
  block.signs = codes.signs;
  for (int sub = 0; sub < 8; ++sub)
    block.high[sub] = static_cast<std::uint8_t>(HighBits(codes, 4 * sub, 4, 2));
  block.scales = PackScales<8>(codes);
}

void Pack(const IqCodes& codes, BlockIQ3_XXS& block) {
  block.d = codes.d;
  block.point = LowBytes<64>(codes);
  for (int sub = 0; sub < 8; ++sub) block.rest[sub] = PackSigns(codes, sub);
}

void Pack(const IqCodes& codes, BlockIQ3_S& block) {
  block.d = codes.d;
  block.point = LowBytes<64>(codes);
  for (int sub = 0; sub < 8; ++sub)
    block.high[sub] = static_cast<std::uint8_t>(HighBits(codes, 8 * sub, 8, 1));
  block.signs = codes.signs;
  block.scales = PackScales<4>(codes);
}

void Pack(const IqCodes& codes, BlockIQ1_S& block) {
  block.d = codes.d;
  block.point = LowBytes<kOctets>(codes);
  for (int sub = 0; sub < 8; ++sub) {
    block.high[sub] = PackedU16::From(HighBits(codes, 4 * sub, 4, 3) | codes.scales[sub] << 12 |
                                      codes.signs[4 * sub] << 15);
  }
}

void Pack(const IqCodes& codes, BlockIQ1_M& block) {
  block.point = LowBytes<kOctets>(codes);
  for (int i = 0; i < 16; ++i) {
    block.high[i] = static_cast<std::uint8_t>(HighBits(codes, 2 * i, 2, 4) | codes.signs[2 * i] << 3 |
                                              codes.signs[2 * i + 1] << 7);
  }
  for (int i = 0; i < 4; ++i) {
    unsigned packed = (codes.d.bits() >> 4 * i & 15u) << 12;
    for (int j = 0; j < 4; ++j) packed |= unsigned{codes.scales[4 * i + j]} << 3 * j;
    block.scales[i] = PackedU16::From(packed);
  }
}

template <Type kType, class Block>
void EncodeBlocks(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  for (std::int64_t first = 0; first < elements; first += kSuperBlock, to += sizeof(Block)) {
    Block block;
    Pack(FitIq(kType, from + first, importance != nullptr ? importance + first : nullptr), block);
    std::memcpy(to, &block, sizeof(block));
  }
}

}  // namespace

Encoder FindIqEncoder(Type type) {
  switch (type) {
    case Type::kIQ1_S: return EncodeBlocks<Type::kIQ1_S, BlockIQ1_S>;
    case Type::kIQ1_M: return EncodeBlocks<Type::kIQ1_M, BlockIQ1_M>;
    case Type::kIQ2_XXS: return EncodeBlocks<Type::kIQ2_XXS, BlockIQ2_XXS>;
    case Type::kIQ2_XS: return EncodeBlocks<Type::kIQ2_XS, BlockIQ2_XS>;
    case Type::kIQ2_S: return EncodeBlocks<Type::kIQ2_S, BlockIQ2_S>;
    case Type::kIQ3_XXS: return EncodeBlocks<Type::kIQ3_XXS, BlockIQ3_XXS>;
    case Type::kIQ3_S: return EncodeBlocks<Type::kIQ3_S, BlockIQ3_S>;
    default: return nullptr;
  }
}

}  // namespace longspan
