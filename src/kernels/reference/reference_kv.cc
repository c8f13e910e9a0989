#include "kernels/reference/reference_kv.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/kv_encode.h"
#include "tensor/blocks.h"
#include "tensor/codec.h"
#include "tensor/float16.h"

namespace longspan::reference {
namespace {

std::uint16_t ClampedToF16(float f) { return F32ToF16(std::clamp(f, -kLargestHalf, kLargestHalf)); }

template <std::uint16_t (*kConvert)(float)>
void EncodeHalves(std::span<const float> x, std::byte* to) {
  for (const float value : x) {
    const std::uint16_t bits = kConvert(value);
    std::memcpy(to, &bits, sizeof(bits));
    to += sizeof(bits);
  }
}

void EncodeQ8_0(std::span<const float> x, BlockQ8_0* to) {
  for (; !x.empty(); x = x.subspan(kBlock), ++to) {
    float largest = 0;
    for (const float value : x.first(kBlock)) largest = std::max(largest, std::abs(value));
    const KvScale scale(largest / 127);
    to->d = scale.stored;
    for (std::size_t i = 0; i < kBlock; ++i) {
      to->q[i] = static_cast<std::int8_t>(std::clamp(std::nearbyint(x[i] * scale.inverse), -127.0f, 127.0f));
    }
  }
}

void EncodeQ4_0(std::span<const float> x, BlockQ4_0* to) {
  for (; !x.empty(); x = x.subspan(kBlock), ++to) {
    const auto [low, high] = std::minmax_element(x.begin(), x.begin() + kBlock);
    const KvScale scale(Q4_0Scale(*low, *high));
    to->d = scale.stored;
    const auto code = [&](std::size_t i) {
      return static_cast<unsigned>(std::clamp(std::nearbyint(x[i] * scale.inverse), -8.0f, 7.0f) + 8.0f);
    };
    for (std::size_t i = 0; i < 16; ++i) to->q[i] = static_cast<std::uint8_t>(code(i) | code(i + 16) << 4);
  }
}

void EncodeRow(Type type, std::span<const float> x, std::byte* to) {
  switch (type) {
    case Type::kF16: return EncodeHalves<ClampedToF16>(x, to);
    case Type::kBF16: return EncodeHalves<F32ToBF16>(x, to);
    case Type::kQ8_0: return EncodeQ8_0(x, reinterpret_cast<BlockQ8_0*>(to));
    case Type::kQ4_0: return EncodeQ4_0(x, reinterpret_cast<BlockQ4_0*>(to));
    default: std::memcpy(to, x.data(), x.size_bytes());
  }
}

}  // namespace

void StoreKv(const KvLayout& layout, ConstRows k, ConstRows v, std::int64_t first_slot,
             std::span<std::byte* const> pages) {
  const std::int64_t row_bytes = layout.RowBytes();
  std::vector<float> row(static_cast<std::size_t>(layout.head_dim));
  for (std::int64_t i = 0; i < k.rows; ++i) {
    const std::int64_t slot = first_slot + i;
    std::byte* to = pages[slot / kKvBlock] + slot % kKvBlock * row_bytes;
    for (std::int64_t h = 0; h < layout.kv_heads; ++h) {
      for (const ConstRows& rows : {k, v}) {
        std::copy_n(&rows.at(i, h * layout.head_dim), layout.head_dim, row.begin());
        if (layout.rotated()) HadamardTransform(row);
        EncodeRow(layout.type, row, to);
        to += kKvBlock * row_bytes;
      }
    }
  }
}

Matrix Decode(const KvView& view, KvBlock::RowsOfType KvBlock::*which, std::int64_t kv_heads,
              std::int64_t head_dim) {
  Matrix all(view.length(), kv_heads * head_dim);
  for (std::int64_t h = 0; h < kv_heads; ++h) {
    for (std::int64_t b = 0; b < view.blocks(); ++b) {
      const KvBlock block = view.Block(h, b);
      for (std::int64_t i = 0; i < block.count; ++i) {
        const std::span<float> row = Rows(all).Columns(h * head_dim, head_dim)[block.first + i];
        DecodeRow(block.type, (block.*which).row(i), row.data(), head_dim);
        if (view.rotated()) HadamardTransform(row);
      }
    }
  }
  return all;
}

}  // namespace longspan::reference
