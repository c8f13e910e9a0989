#include "base/memory.h"
#include "kernels/bf16/unpack.h"
#include "kernels/bf16/unpack_types.h"
#include "tensor/codec.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c")
#include "kernels/bf16/vectors.h"

namespace longspan::bf16 {

namespace {

// Calls chunk(i, low, high) for each chunk, i its first element, with the masks of its halves. All but the
// last are whole, and the compiler knows that.
template <class Chunk>
[[gnu::always_inline]] inline void EachChunk(std::int64_t elements, Chunk&& chunk) {
  std::int64_t i = 0;
  for (; i + kChunk <= elements; i += kChunk) chunk(i, __mmask16{0xffff}, __mmask16{0xffff});
  if (i < elements) chunk(i, First16(elements - i), First16(elements - i - 16));
}

}  // namespace

void UnpackF32(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride) {
  const auto* x = reinterpret_cast<const float*>(from);
  EachChunk(elements, [&](std::int64_t i, __mmask16 low, __mmask16 high) {
    _mm512_store_si512(to,
                       ToBf16(_mm512_maskz_loadu_ps(low, x + i), _mm512_maskz_loadu_ps(high, x + i + 16)));
    to += stride;
  });
}

void UnpackF16(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride) {
  const auto* x = reinterpret_cast<const std::uint16_t*>(from);
  const auto half = [&](std::int64_t i, __mmask16 mask) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, x + i));
  };
  EachChunk(elements, [&](std::int64_t i, __mmask16 low, __mmask16 high) {
    _mm512_store_si512(to, ToBf16(half(i, low), half(i + 16, high)));
    to += stride;
  });
}

void UnpackBF16(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride) {
  const auto* x = reinterpret_cast<const std::uint16_t*>(from);
  EachChunk(elements, [&](std::int64_t i, __mmask16 low, __mmask16 high) {
    _mm512_store_si512(to, _mm512_maskz_loadu_epi16(_mm512_kunpackw(high, low), x + i));
    to += stride;
  });
}

}  // namespace longspan::bf16
#pragma GCC pop_options

namespace longspan::bf16 {

void UnpackRow(Type type, const std::byte* from, std::int64_t elements, std::uint16_t* to,
               std::int64_t stride) {
  switch (type) {
    case Type::kF32: return UnpackF32(from, elements, to, stride);
    case Type::kF16: return UnpackF16(from, elements, to, stride);
    case Type::kBF16: return UnpackBF16(from, elements, to, stride);
    case Type::kQ8_0: return UnpackQ8_0(from, elements, to, stride);
    case Type::kQ4_0: return UnpackQ4_0(from, elements, to, stride);
    case Type::kQ4_1: return UnpackQ4_1(from, elements, to, stride);
    case Type::kQ4_K: return UnpackQ4_K(from, elements, to, stride);
    case Type::kQ5_K: return UnpackQ5_K(from, elements, to, stride);
    case Type::kQ6_K: return UnpackQ6_K(from, elements, to, stride);
    case Type::kIQ4_NL: return UnpackIQ4_NL(from, elements, to, stride);
    case Type::kIQ4_XS: return UnpackIQ4_XS(from, elements, to, stride);
    case Type::kMXFP4: return UnpackMXFP4(from, elements, to, stride);
    default: break;
  }
  static thread_local AlignedVector<float> decoded;
  decoded.resize(elements);
  DecodeRow(type, from, decoded.data(), elements);
  UnpackF32(reinterpret_cast<const std::byte*>(decoded.data()), elements, to, stride);
}

}  // namespace longspan::bf16
