#include "quantize/weight_drawer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>
#include <optional>
#include <utility>

#include "base/error.h"
#include "encode/block_pack.h"
#include "encode/encode.h"
#include "tensor/blocks.h"
#include "tensor/codec.h"
#include "tensor/tensor.h"

namespace longspan {
namespace {

// The value below which a standard normal variable lies with probability p. Found by bisection, because no
// library function inverts erfc.
double NormalQuantile(double p) {
  double low = -10, high = 10;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle * std::numbers::sqrt2 / 2) / 2 < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

constexpr int kFloats = 1 << 16;

// Equally likely values of a standard normal distribution, symmetric and ascending.
const std::vector<float>& NormalFloats() {
  static const std::vector<float> floats = [] {
    std::vector<float> out(kFloats);
    for (int i = 0; i < kFloats / 2; ++i) {
      out[i] = static_cast<float>(NormalQuantile((i + 0.5) / kFloats));
      out[kFloats - 1 - i] = -out[i];
    }
    return out;
  }();
  return floats;
}

// ---- How scales vary, and the mean squares that follow.

// The scale d of a block, uniform between 3/4 and 5/4 of the mean.
PackedHalf DrawScale(BulkRandom& random, double mean) {
  const double uniform = static_cast<double>(random.Next() >> 11) * 0x1p-53;
  return PackedHalf::FromFloat(static_cast<float>(mean * (0.75 + 0.5 * uniform)));
}
constexpr double kScaleSquare = 1 + 0.5 * 0.5 / 12;

// The integer scale of a sub-block: 16 to 47.
int SubScale(std::uint64_t bits) { return 16 + static_cast<int>(bits & 31); }
constexpr double kSubScaleSquare = 31.5 * 31.5 + (32 * 32 - 1) / 12.0;

// By how much the integer minimum of a sub-block exceeds its scale: the difference of two pairs of bits, -3
// to 3.
int SubMinExcess(std::uint64_t bits) { return static_cast<int>(bits & 3) - static_cast<int>(bits >> 2 & 3); }
constexpr double kExcessSquare = 2 * (4 * 4 - 1) / 12.0;

// Eight scales and minima. A minimum equal to the scale puts the mean of a sub-block at zero. An excess
// shifts the mean of its sub-block, but not the mean over all sub-blocks.
SubScales DrawSubScales(BulkRandom& random) {
  SubScales drawn;
  std::uint64_t scales = random.Next(), excess = random.Next();
  for (int i = 0; i < 8; ++i, scales >>= 8, excess >>= 8) {
    drawn.scale[i] = static_cast<std::uint8_t>(SubScale(scales));
    drawn.min[i] = static_cast<std::uint8_t>(drawn.scale[i] + SubMinExcess(excess));
  }
  return drawn;
}

// The sixteen scales of a block of Q6_K, of either sign.
std::array<std::int8_t, 16> DrawSignedScales(BulkRandom& random) {
  std::array<std::int8_t, 16> drawn;
  for (int half = 0; half < 2; ++half) {
    std::uint64_t bits = random.Next();
    for (int i = 0; i < 8; ++i, bits >>= 8)
      drawn[8 * half + i] = static_cast<std::int8_t>((bits & 32) != 0 ? -SubScale(bits) : SubScale(bits));
  }
  return drawn;
}

// The mean square of a type's values in units of d.
double MeanSquare(Type type, const CodeTable& codes) {
  switch (type) {
    case Type::kQ4_K:
    case Type::kQ5_K:
      return kScaleSquare * (kSubScaleSquare * codes.variance + codes.centre * codes.centre * kExcessSquare);
    case Type::kQ6_K: return kScaleSquare * kSubScaleSquare * codes.variance;
    default: return kScaleSquare * codes.variance;
  }
}

// ---- The codes of a type.

struct CodeRange {
  double centre;
  int largest;
};

// Empty for floats, and for types whose blocks are drawn as a whole.
std::optional<CodeRange> CodesOf(Type type) {
  switch (type) {
    case Type::kQ4_0: return CodeRange{8, 15};
    case Type::kQ5_0: return CodeRange{16, 31};
    case Type::kQ4_1:
    case Type::kQ4_K: return CodeRange{7.5, 15};
    case Type::kQ5_1:
    case Type::kQ5_K: return CodeRange{15.5, 31};
    case Type::kQ6_K: return CodeRange{32, 63};
    case Type::kQ8_0: return CodeRange{0, 127};
    default: return std::nullopt;
  }
}

CodeTable TableOf(Type type) {
  if (!CanDraw(type))
    Fail(ErrorKind::kUnsupported, "random weights of type {} are not supported", Traits(type).name);
  const CodeRange range = CodesOf(type).value_or(CodeRange{0, 127});  // not used by types without codes
  return {range.centre, range.largest};
}

template <std::size_t kCount>
std::array<std::uint8_t, kCount> DrawCodes(const CodeTable& table, BulkRandom& random) {
  static_assert(kCount % 8 == 0);
  std::array<std::uint8_t, kCount> codes;
  for (std::size_t i = 0; i < kCount; i += 8) {
    std::uint64_t bits = random.Next();
    for (std::size_t j = 0; j < 8; ++j, bits >>= 8) codes[i + j] = table.code[bits & 255];
  }
  return codes;
}

// The size of the offset that moves the centre of d times a code to zero, computed from d as rounded.
PackedHalf Offset(PackedHalf d, double centre) {
  return PackedHalf::FromFloat(d.ToFloat() * static_cast<float>(centre));
}

PackedHalf Negative(PackedHalf x) {
  x.bytes[1] ^= 0x80;
  return x;
}

// ---- A block of each type.

template <class Block>
Block DrawBlock(const CodeTable& table, double scale, BulkRandom& random);

template <>
BlockQ8_0 DrawBlock(const CodeTable& table, double scale, BulkRandom& random) {
  return {DrawScale(random, scale),
          std::bit_cast<std::array<std::int8_t, kBlock>>(DrawCodes<kBlock>(table, random))};
}

template <>
BlockQ4_0 DrawBlock(const CodeTable& table, double scale, BulkRandom& random) {
  return {DrawScale(random, scale), PackNibbles(DrawCodes<kBlock>(table, random))};
}

template <>
BlockQ4_1 DrawBlock(const CodeTable& table, double scale, BulkRandom& random) {
  const PackedHalf d = DrawScale(random, scale);
  return {d, Negative(Offset(d, table.centre)), PackNibbles(DrawCodes<kBlock>(table, random))};
}

template <>
BlockQ5_0 DrawBlock(const CodeTable& table, double scale, BulkRandom& random) {
  const PackedHalf d = DrawScale(random, scale);
  const Codes codes = DrawCodes<kBlock>(table, random);
  return {d, PackFifthBits(codes), PackNibbles(codes)};
}

template <>
BlockQ5_1 DrawBlock(const CodeTable& table, double scale, BulkRandom& random) {
  const PackedHalf d = DrawScale(random, scale);
  const Codes codes = DrawCodes<kBlock>(table, random);
  return {d, Negative(Offset(d, table.centre)), PackFifthBits(codes), PackNibbles(codes)};
}

template <>
BlockQ4_K DrawBlock(const CodeTable& table, double scale, BulkRandom& random) {
  const PackedHalf d = DrawScale(random, scale);
  const SubScales sub = DrawSubScales(random);
  return {d, Offset(d, table.centre), PackScales(sub), PackNibbles(DrawCodes<kSuperBlock>(table, random))};
}

template <>
BlockQ5_K DrawBlock(const CodeTable& table, double scale, BulkRandom& random) {
  const PackedHalf d = DrawScale(random, scale);
  const SubScales sub = DrawSubScales(random);
  const SuperCodes codes = DrawCodes<kSuperBlock>(table, random);
  return {d, Offset(d, table.centre), PackScales(sub), PackFifthBits(codes), PackNibbles(codes)};
}

template <>
BlockQ6_K DrawBlock(const CodeTable& table, double scale, BulkRandom& random) {
  const PackedHalf d = DrawScale(random, scale);
  const std::array<std::int8_t, 16> sub = DrawSignedScales(random);
  const SixBits bits = PackSixBits(DrawCodes<kSuperBlock>(table, random));
  return {bits.low, bits.high, sub, d};
}

template <class Block>
void DrawBlocks(const CodeTable& table, double scale, BulkRandom& random, std::byte* to,
                std::int64_t blocks) {
  for (; blocks > 0; --blocks, to += sizeof(Block)) {
    const Block block = DrawBlock<Block>(table, scale, random);
    std::memcpy(to, &block, sizeof(block));
  }
}

// ---- Types whose blocks are not drawn code by code: each block is one of some that were encoded.

// Blocks of a type that the encoder made of 65,536 normal values in random order.
std::vector<std::byte> EncodedBlocks(Type type, double deviation) {
  std::vector<float> wanted = NormalFloats();
  BulkRandom random(Random(0, 0, RandomPurpose::kInit));
  for (std::size_t i = wanted.size() - 1; i > 0; --i) std::swap(wanted[i], wanted[random.Next() % (i + 1)]);
  std::vector<std::byte> blocks(static_cast<std::size_t>(RowBytes(type, kFloats)));
  std::vector<float> values(kFloats);
  // Coarse types shrink or stretch what they encode. Each try tells the next by how much.
  constexpr int kTries = 4;
  double factor = deviation;
  for (int i = 0; i < kTries; ++i) {
    for (int j = 0; j < kFloats; ++j) values[j] = static_cast<float>(factor) * wanted[j];
    EncodeRow(type, values.data(), blocks.data(), kFloats, nullptr);
    DecodeRow(type, blocks.data(), values.data(), kFloats);
    double squares = 0;
    for (const float x : values) squares += double{x} * x;
    if (i + 1 < kTries) factor *= deviation / std::sqrt(squares / kFloats);
  }
  return blocks;
}

void DrawEncoded(const std::vector<std::byte>& from, std::size_t block_bytes, BulkRandom& random,
                 std::byte* to, std::int64_t blocks) {
  for (; blocks > 0; --blocks, to += block_bytes)
    std::memcpy(to, from.data() + random.Next() % (from.size() / block_bytes) * block_bytes, block_bytes);
}

template <std::size_t kBytes>
void DrawFloats(const std::vector<std::byte>& values, BulkRandom& random, std::byte* to,
                std::int64_t elements) {
  std::uint64_t bits = 0;
  for (std::int64_t i = 0; i < elements; ++i, bits >>= 16) {
    if (i % 4 == 0) bits = random.Next();
    std::memcpy(to + i * kBytes, values.data() + (bits & 0xffff) * kBytes, kBytes);
  }
}

}  // namespace

bool CanDraw(Type type) { return CanEncode(type); }

CodeTable::CodeTable(double c, int largest) : centre(c), variance(0) {
  const double reach = largest - centre, deviation = reach / 2.5;
  for (int i = 0; i < 256; ++i) {
    const double wanted = centre + deviation * NormalQuantile((i + 0.5) / 256);
    const double value = std::clamp(std::round(wanted), centre - reach, centre + reach);
    code[i] = static_cast<std::uint8_t>(static_cast<int>(value));
    variance += (value - centre) * (value - centre) / 256;
  }
}

WeightDrawer::WeightDrawer(Type type, double deviation)
    : type_(type), codes_(TableOf(type)), scale_(deviation / std::sqrt(MeanSquare(type, codes_))) {
  if (!IsFloat(type)) {
    if (!CodesOf(type)) values_ = EncodedBlocks(type, deviation);
    return;
  }
  std::vector<float> floats = NormalFloats();
  for (float& x : floats) x *= static_cast<float>(deviation);
  values_.resize(RowBytes(type, kFloats));
  EncodeRow(type, floats.data(), values_.data(), kFloats, nullptr);
}

void WeightDrawer::Draw(BulkRandom& random, std::byte* to, std::int64_t elements) const {
  RowBytes(type_, elements);  // throws unless the row is a whole number of blocks
  const std::int64_t blocks = elements / Traits(type_).block_elements;
  switch (type_) {
    case Type::kF32: return DrawFloats<4>(values_, random, to, elements);
    case Type::kF16:
    case Type::kBF16: return DrawFloats<2>(values_, random, to, elements);
    case Type::kQ8_0: return DrawBlocks<BlockQ8_0>(codes_, scale_, random, to, blocks);
    case Type::kQ4_0: return DrawBlocks<BlockQ4_0>(codes_, scale_, random, to, blocks);
    case Type::kQ4_1: return DrawBlocks<BlockQ4_1>(codes_, scale_, random, to, blocks);
    case Type::kQ5_0: return DrawBlocks<BlockQ5_0>(codes_, scale_, random, to, blocks);
    case Type::kQ5_1: return DrawBlocks<BlockQ5_1>(codes_, scale_, random, to, blocks);
    case Type::kQ4_K: return DrawBlocks<BlockQ4_K>(codes_, scale_, random, to, blocks);
    case Type::kQ5_K: return DrawBlocks<BlockQ5_K>(codes_, scale_, random, to, blocks);
    case Type::kQ6_K: return DrawBlocks<BlockQ6_K>(codes_, scale_, random, to, blocks);
    default: return DrawEncoded(values_, Traits(type_).block_bytes, random, to, blocks);
  }
}

}  // namespace longspan
