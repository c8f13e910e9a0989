// Rows of a KV cache's types: reading them, 16 elements at a time, straight into registers, and writing them.
#if defined(LONGSPAN_KERNELS_VECTOR_KV_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_KV_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_KV_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_KV_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/kernels.h"
#include "kernels/kv_encode.h"
#include "kernels/vector/panel-inl.h"
#include "tensor/blocks.h"
#include "tensor/codec.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2  // see vector_targets.h

using IntTag = hn::RebindToSigned<FloatTag>;

// Rows are read by half blocks of the quantised types.
inline constexpr std::int64_t kHalfBlock = 16;
inline constexpr int kHalfVectors = kHalfBlock / kLanes;

// Calls body(std::integral_constant<Type, ...>) with a cache's type.
template <class Body>
void WithKvType(Type type, Body&& body) {
  switch (type) {
    case Type::kF16: return body(std::integral_constant<Type, Type::kF16>());
    case Type::kBF16: return body(std::integral_constant<Type, Type::kBF16>());
    case Type::kQ8_0: return body(std::integral_constant<Type, Type::kQ8_0>());
    case Type::kQ4_0: return body(std::integral_constant<Type, Type::kQ4_0>());
    default: return body(std::integral_constant<Type, Type::kF32>());
  }
}

// A quantised block's scale in every lane. It is converted together with the six bytes behind it, because
// converting a vector is cheaper.
HWY_INLINE FloatVec BlockScale(const PackedHalf& scale) {
  const hn::Full128<float> d4;
  const hn::Rebind<hwy::float16_t, decltype(d4)> dh;
  const auto* bits = reinterpret_cast<const hwy::float16_t*>(&scale);
  return hn::Set(FloatTag(), hn::GetLane(hn::PromoteTo(d4, hn::LoadU(dh, bits))));
}

// Elements [16 (2 block + half), ... + 16) of a row, as kHalfVectors vectors.
template <Type kType>
HWY_INLINE void LoadHalfBlock(const std::byte* row, std::int64_t block, int half, FloatVec* to) {
  const FloatTag d;
  const IntTag di;
  const std::int64_t first = (2 * block + half) * kHalfBlock;
#pragma GCC unroll 2
  for (int i = 0; i < kHalfVectors; ++i) {
    if constexpr (kType == Type::kF32) {
      to[i] = hn::LoadU(d, reinterpret_cast<const float*>(row) + first + i * kLanes);
    } else if constexpr (kType == Type::kF16) {
      const hn::Rebind<hwy::float16_t, FloatTag> dh;
      to[i] =
          hn::PromoteTo(d, hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(row) + first + i * kLanes));
    } else if constexpr (kType == Type::kBF16) {
      const hn::Rebind<hwy::bfloat16_t, FloatTag> dh;
      to[i] =
          hn::PromoteTo(d, hn::LoadU(dh, reinterpret_cast<const hwy::bfloat16_t*>(row) + first + i * kLanes));
    } else if constexpr (kType == Type::kQ8_0) {
      const hn::Rebind<std::int8_t, FloatTag> d8;
      const BlockQ8_0& b = reinterpret_cast<const BlockQ8_0*>(row)[block];
      const auto codes = hn::PromoteTo(di, hn::LoadU(d8, b.q.data() + half * kHalfBlock + i * kLanes));
      to[i] = hn::Mul(hn::ConvertTo(d, codes), BlockScale(b.d));
    } else {
      static_assert(kType == Type::kQ4_0);
      const hn::Rebind<std::uint8_t, FloatTag> d8;
      const BlockQ4_0& b = reinterpret_cast<const BlockQ4_0*>(row)[block];
      const auto pairs = hn::PromoteTo(di, hn::LoadU(d8, b.q.data() + i * kLanes));
      const auto codes = half == 0 ? hn::And(pairs, hn::Set(di, 15)) : hn::ShiftRight<4>(pairs);
      const FloatVec scale = BlockScale(b.d);
      to[i] = hn::MulAdd(hn::ConvertTo(d, codes), scale, hn::Mul(scale, hn::Set(d, -8.0f)));
    }
  }
}

template <Type kType>
HWY_INLINE void WidenRow(const std::byte* row, std::int64_t n, float* to) {
  const FloatTag d;
  std::int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    FloatVec x[2 * kHalfVectors];
    LoadHalfBlock<kType>(row, i / kBlock, 0, x);
    LoadHalfBlock<kType>(row, i / kBlock, 1, x + kHalfVectors);
#pragma GCC unroll 4
    for (int j = 0; j < 2 * kHalfVectors; ++j) hn::StoreU(x[j], d, to + i + j * kLanes);
  }
  if (i < n) DecodeRow(kType, row + RowBytes(kType, i), to + i, n - i);
}

// Multiplies x [n] by the normalised Hadamard matrix, n a power of two from 32; scratch [n]. Every stage
// pairs neighbours and puts sums into the first half and differences into the second, so that all stages are
// the same loop over vectors and the order of elements is back where it was after the last (Pease 1968). The
// sums are HadamardTransform's, to the bit.
inline void Hadamard(std::int64_t n, float* x, float* scratch) {
  const FloatTag d;
  float *from = x, *to = scratch;
  for (std::int64_t stage = 1; stage < n; stage *= 2) {
    for (std::int64_t i = 0; i < n / 2; i += kLanes) {
      const FloatVec a = hn::LoadU(d, from + 2 * i), b = hn::LoadU(d, from + 2 * i + kLanes);
      const FloatVec even = hn::ConcatEven(d, b, a), odd = hn::ConcatOdd(d, b, a);
      hn::StoreU(hn::Add(even, odd), d, to + i);
      hn::StoreU(hn::Sub(even, odd), d, to + n / 2 + i);
    }
    std::swap(from, to);
  }
  const FloatVec norm = hn::Set(d, 1.0f / std::sqrt(static_cast<float>(n)));
  for (std::int64_t i = 0; i < n; i += kLanes) hn::StoreU(hn::Mul(hn::LoadU(d, from + i), norm), d, x + i);
}

// Codes of 16 values that were divided by their scale: nearest integers in [low, high].
HWY_INLINE hn::Vec<IntTag> Codes(const float* x, FloatVec inverse, int low, int high) {
  const IntTag di;
  const auto nearest = hn::NearestInt(hn::Mul(hn::LoadU(FloatTag(), x), inverse));
  return hn::Min(hn::Max(nearest, hn::Set(di, low)), hn::Set(di, high));
}

inline void EncodeF16(const float* x, std::int64_t n, std::byte* to) {
  const FloatTag d;
  const hn::Rebind<hwy::float16_t, FloatTag> dh;
  const FloatVec low = hn::Set(d, -kLargestHalf), high = hn::Set(d, kLargestHalf);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const FloatVec value = hn::Min(hn::Max(hn::LoadU(d, x + i), low), high);
    hn::StoreU(hn::DemoteTo(dh, value), dh, reinterpret_cast<hwy::float16_t*>(to) + i);
  }
  for (; i < n; ++i) {
    const std::uint16_t bits = F32ToF16(std::clamp(x[i], -kLargestHalf, kLargestHalf));
    std::memcpy(to + 2 * i, &bits, sizeof(bits));
  }
}

// Rounds to nearest, because Highway's own conversion truncates.
inline void EncodeBF16(const float* x, std::int64_t n, std::byte* to) {
  const FloatTag d;
  const hn::RebindToUnsigned<FloatTag> du;
  const hn::Rebind<std::uint16_t, FloatTag> dh;
  const IntTag di;
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const FloatVec value = hn::LoadU(d, x + i);
    const auto bits = hn::BitCast(du, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff))));
    const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40));
    const auto halves = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(value)), quiet, rounded);
    hn::StoreU(hn::DemoteTo(dh, hn::BitCast(di, halves)), dh, reinterpret_cast<std::uint16_t*>(to) + i);
  }
  for (; i < n; ++i) {
    const std::uint16_t bits = F32ToBF16(x[i]);
    std::memcpy(to + 2 * i, &bits, sizeof(bits));
  }
}

inline void EncodeQ8_0(const float* x, std::int64_t n, BlockQ8_0* to) {
  const FloatTag d;
  const hn::Rebind<std::int8_t, FloatTag> d8;
  for (const float* end = x + n; x < end; x += kBlock, ++to) {
    FloatVec largest = hn::Zero(d);
    for (std::int64_t i = 0; i < kBlock; i += kLanes)
      largest = hn::Max(largest, hn::Abs(hn::LoadU(d, x + i)));
    const KvScale scale(hn::GetLane(hn::MaxOfLanes(d, largest)) / 127);
    const FloatVec inverse = hn::Set(d, scale.inverse);
    to->d = scale.stored;
    for (std::int64_t i = 0; i < kBlock; i += kLanes) {
      hn::StoreU(hn::DemoteTo(d8, Codes(x + i, inverse, -127, 127)), d8, to->q.data() + i);
    }
  }
}

inline void EncodeQ4_0(const float* x, std::int64_t n, BlockQ4_0* to) {
  const FloatTag d;
  const IntTag di;
  const hn::Rebind<std::uint8_t, FloatTag> d8;
  for (const float* end = x + n; x < end; x += kBlock, ++to) {
    FloatVec smallest = hn::LoadU(d, x), largest = smallest;
    for (std::int64_t i = kLanes; i < kBlock; i += kLanes) {
      smallest = hn::Min(smallest, hn::LoadU(d, x + i));
      largest = hn::Max(largest, hn::LoadU(d, x + i));
    }
    const KvScale scale(
        Q4_0Scale(hn::GetLane(hn::MinOfLanes(d, smallest)), hn::GetLane(hn::MaxOfLanes(d, largest))));
    const FloatVec inverse = hn::Set(d, scale.inverse);
    to->d = scale.stored;
    for (std::int64_t i = 0; i < kHalfBlock; i += kLanes) {
      const auto low = Codes(x + i, inverse, -8, 7), high = Codes(x + kHalfBlock + i, inverse, -8, 7);
      const auto eight = hn::Set(di, 8);
      const auto pairs = hn::Or(hn::Add(low, eight), hn::ShiftLeft<4>(hn::Add(high, eight)));
      hn::StoreU(hn::DemoteTo(d8, pairs), d8, to->q.data() + i);
    }
  }
}

template <Type kType>
void EncodeKvRow(const float* x, std::int64_t n, std::byte* to) {
  if constexpr (kType == Type::kF16)
    EncodeF16(x, n, to);
  else if constexpr (kType == Type::kBF16)
    EncodeBF16(x, n, to);
  else if constexpr (kType == Type::kQ8_0)
    EncodeQ8_0(x, n, reinterpret_cast<BlockQ8_0*>(to));
  else if constexpr (kType == Type::kQ4_0)
    EncodeQ4_0(x, n, reinterpret_cast<BlockQ4_0*>(to));
  else
    std::memcpy(to, x, static_cast<std::size_t>(n) * sizeof(float));
}

// Kernels::StoreKv.
inline void StoreKvRows(const KvLayout& layout, ConstRows k, ConstRows v, std::int64_t first_slot,
                        std::span<std::byte* const> pages) {
  constexpr std::int64_t kTokensPerTask = 16;
  const std::int64_t row_bytes = layout.RowBytes(), hd = layout.head_dim;
  const std::int64_t tasks = (k.rows + kTokensPerTask - 1) / kTokensPerTask;
  WithKvType(layout.type, [&](auto type) {
    constexpr Type kType = decltype(type)::value;
    ParallelFor(tasks, [&](std::int64_t task) {
      AlignedVector<float> rotated(static_cast<std::size_t>(2 * hd));
      const std::int64_t first = task * kTokensPerTask, end = std::min(k.rows, first + kTokensPerTask);
      for (std::int64_t i = first; i < end; ++i) {
        const std::int64_t slot = first_slot + i;
        std::byte* to = pages[slot / kKvBlock] + slot % kKvBlock * row_bytes;
        for (std::int64_t h = 0; h < layout.kv_heads; ++h) {
          for (const ConstRows& rows : {k, v}) {
            const float* row = &rows.at(i, h * hd);
            if (layout.rotated()) {
              std::copy_n(row, hd, rotated.data());
              Hadamard(hd, rotated.data(), rotated.data() + hd);
              row = rotated.data();
            }
            EncodeKvRow<kType>(row, hd, to);
            to += kKvBlock * row_bytes;
          }
        }
      }
    });
  });
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
