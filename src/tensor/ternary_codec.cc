#include "tensor/block_codec.h"
#include "tensor/blocks.h"

namespace longspan {
namespace {

// Decodes the first `digits` codes of each byte: first code 0 of all bytes, then code 1 of all bytes, and so
// on. Returns the end of what it wrote.
float* DecodeTrits(const std::uint8_t* q, int bytes, int digits, float d, float* to) {
  for (int n = 0; n < digits; ++n) {
    for (int i = 0; i < bytes; ++i) *to++ = d * static_cast<float>(UnpackTrit(q[i], n) - 1);
  }
  return to;
}

}  // namespace

void DecodeTQ1_0(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockTQ1_0*>(from);
  for (std::int64_t n = elements / kSuperBlock; n > 0; --n, ++block) {
    const float d = block->d.ToFloat();
    to = DecodeTrits(block->q.data(), 32, 5, d, to);
    to = DecodeTrits(block->q.data() + 32, 16, 5, d, to);
    to = DecodeTrits(block->high.data(), 4, 4, d, to);
  }
}

void DecodeTQ2_0(const std::byte* from, float* to, std::int64_t elements) {
  const auto* block = reinterpret_cast<const BlockTQ2_0*>(from);
  for (std::int64_t n = elements / kSuperBlock; n > 0; --n, ++block) {
    const float d = block->d.ToFloat();
    for (int stripe = 0; stripe < 8; ++stripe, to += 32) {
      const std::uint8_t* q = block->q.data() + 32 * (stripe / 4);
      const int shift = 2 * (stripe % 4);
      for (int i = 0; i < 32; ++i) to[i] = d * static_cast<float>((q[i] >> shift & 3) - 1);
    }
  }
}

}  // namespace longspan
