// Each nibble picks a level. The products of a quantised block's scale and the sixteen levels are made first;
// the rest is one look-up per element.
#include "tensor/block_codec.h"
#include "tensor/blocks.h"

namespace longspan {
namespace {

void DecodeNibbles(const std::uint8_t* q, float d, const std::array<std::int8_t, 16>& levels, float* to) {
  std::array<float, 16> values;
  for (int i = 0; i < 16; ++i) values[i] = d * static_cast<float>(levels[i]);
  for (int i = 0; i < 16; ++i) {
    to[i] = values[q[i] & 15];
    to[i + 16] = values[q[i] >> 4];
  }
}

}  // namespace

void DecodeIQ4_NL(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockIQ4_NL*>(from);
  for (std::int64_t n = elements / kBlock; n > 0; --n, ++block, to += kBlock) {
    DecodeNibbles(block->q.data(), block->d.ToFloat(), kIq4Levels, to);
  }
}

void DecodeIQ4_XS(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockIQ4_XS*>(from);
  for (std::int64_t n = elements / kSuperBlock; n > 0; --n, ++block, to += kSuperBlock) {
    const float d = block->d.ToFloat();
    for (int sub = 0; sub < 8; ++sub) {
      DecodeNibbles(block->q.data() + 16 * sub, d * static_cast<float>(block->Scale(sub)), kIq4Levels,
                    to + 32 * sub);
    }
  }
}

void DecodeMXFP4(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockMXFP4*>(from);
  for (std::int64_t n = elements / kBlock; n > 0; --n, ++block, to += kBlock) {
    DecodeNibbles(block->q.data(), block->d(), kMxfp4Levels, to);
  }
}

}  // namespace longspan
