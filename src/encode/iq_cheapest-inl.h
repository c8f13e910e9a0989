// Finds the cheapest point of a code book, given the price of each nibble of a point's code. Prices are
// bytes. They are looked up and added for as many points at once as a vector has bytes.
//
// To be included by a file that Highway compiles once for each instruction set.
#if defined(LONGSPAN_ENCODE_IQ_CHEAPEST_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_IQ_CHEAPEST_INL_H_
#undef LONGSPAN_ENCODE_IQ_CHEAPEST_INL_H_
#else
#define LONGSPAN_ENCODE_IQ_CHEAPEST_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "encode/iq_books.h"
#include "tensor/iq_blocks.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

struct alignas(64) NibbleTables {
  std::array<std::array<std::uint8_t, 16>, 4> price;  // of each nibble's sixteen values
};

constexpr int kTooDear = 255;  // where bytes saturate

#if HWY_TARGET == HWY_SCALAR

// The first of the cheapest points, or -1 if all are too expensive.
template <std::size_t kPoints>
int CheapestPoint(const CodeBook<kPoints>& book, const NibbleTables& tables) {
  int least = kTooDear, found = -1;
  for (std::size_t p = 0; p < kPoints; ++p) {
    int cost = 0;
    for (int n = 0; n < 4; ++n) cost += tables.price[n][book.nibbles[n][p]];
    if (cost >= least) continue;
    least = cost;
    found = static_cast<int>(p);
  }
  return found;
}

// The prices of pairs of values, given those of single values, four bytes each.
inline NibbleTables PricePairs(const std::array<std::uint32_t, kOctet>& bytes) {
  NibbleTables tables;
  for (int n = 0; n < 4; ++n) {
    for (int i = 0; i < 16; ++i) {
      const unsigned price = (bytes[2 * n] >> 8 * (i % 4) & 255) + (bytes[2 * n + 1] >> 8 * (i / 4) & 255);
      tables.price[n][i] = static_cast<std::uint8_t>(std::min(price, 255u));
    }
  }
  return tables;
}

#else

// The first of the cheapest points, or -1 if all are too expensive.
template <std::size_t kPoints>
HWY_INLINE int CheapestPoint(const CodeBook<kPoints>& book, const NibbleTables& tables) {
  const hn::ScalableTag<std::uint8_t> d;
  const hn::Repartition<std::uint16_t, decltype(d)> d16;
  constexpr std::size_t kLanes = hn::MaxLanes(d);
  static_assert(kPoints / kLanes <= 256);
  const auto t0 = hn::LoadDup128(d, tables.price[0].data()), t1 = hn::LoadDup128(d, tables.price[1].data());
  const auto t2 = hn::LoadDup128(d, tables.price[2].data()), t3 = hn::LoadDup128(d, tables.price[3].data());
  // Each 16-bit lane has a price in its high byte and the number of the vector in its low byte. So the least
  // lane belongs to the first of the cheapest points.
  auto lower = hn::Set(d16, kTooDear << 8), upper = lower;
  const auto look = [&](std::size_t i, auto step) {
    const auto price = [&](auto table, int n) {
      return hn::TableLookupBytes(table, hn::Load(d, book.nibbles[n].data() + i));
    };
    const auto cost = hn::SaturatedAdd(hn::SaturatedAdd(price(t0, 0), price(t1, 1)),
                                       hn::SaturatedAdd(price(t2, 2), price(t3, 3)));
    lower = hn::Min(lower, hn::BitCast(d16, hn::InterleaveLower(d, step, cost)));
    upper = hn::Min(upper, hn::BitCast(d16, hn::InterleaveUpper(d, step, cost)));
  };
  auto step = hn::Zero(d);
  for (std::size_t i = 0; i < kPoints; i += kLanes) {
    look(i, step);
    step = hn::Add(step, hn::Set(d, 1));
  }
  const auto least = hn::MinOfLanes(d16, hn::Min(lower, upper));
  const unsigned found = hn::GetLane(least);
  if (found >> 8 == kTooDear) return -1;
  // Of each 16 bytes, the first eight were interleaved into `lower`, the others into `upper`.
  constexpr std::ptrdiff_t kNone = kPoints;
  const auto byte = [](std::ptrdiff_t lane, int half) {
    return lane < 0 ? kNone : lane / 8 * 16 + lane % 8 + 8 * half;
  };
  const std::ptrdiff_t lane = std::min(byte(hn::FindFirstTrue(d16, hn::Eq(lower, least)), 0),
                                       byte(hn::FindFirstTrue(d16, hn::Eq(upper, least)), 1));
  return static_cast<int>((found & 255) * kLanes) + static_cast<int>(lane);
}

// The prices of pairs of values, given those of single values, four bytes each.
HWY_INLINE NibbleTables PricePairs(const std::array<std::uint32_t, kOctet>& bytes) {
  const hn::CappedTag<std::uint8_t, 16> d;
  const hn::Repartition<std::uint64_t, decltype(d)> d64;
  alignas(16) static constexpr std::array<std::uint8_t, 16> kFirst{0, 1, 2, 3, 0, 1, 2, 3,
                                                                   0, 1, 2, 3, 0, 1, 2, 3};
  alignas(16) static constexpr std::array<std::uint8_t, 16> kSecond{4, 4, 4, 4, 5, 5, 5, 5,
                                                                    6, 6, 6, 6, 7, 7, 7, 7};
  const auto first = hn::Load(d, kFirst.data()), second = hn::Load(d, kSecond.data());
  NibbleTables tables;
  for (int n = 0; n < 4; ++n) {
    std::uint64_t two;
    std::memcpy(&two, bytes.data() + 2 * n, sizeof(two));
    const auto both = hn::BitCast(d, hn::Set(d64, two));
    hn::Store(hn::SaturatedAdd(hn::TableLookupBytes(both, first), hn::TableLookupBytes(both, second)), d,
              tables.price[n].data());
  }
  return tables;
}

#endif

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LONGSPAN_ENCODE_IQ_CHEAPEST_INL_H_
