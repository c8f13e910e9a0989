// Weights in strips, the order in which 8-bit products read them: kLanes rows side by side, slab after slab
// of 256 columns. A word of four packed bytes of each row makes a vector, one row a lane, so that codes,
// scales and sums of kLanes outputs are whole vectors. A strip is one stream of memory. Most types take as
// many bytes in it as in the file, rounded up; types with code books take more.
#if defined(LONGSPAN_KERNELS_INT8_STRIPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_STRIPS_INL_H_
#undef LONGSPAN_KERNELS_INT8_STRIPS_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_STRIPS_INL_H_
#endif

#include <hwy/highway.h>
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/int8/ahead-inl.h"
#include "kernels/int8/codes-inl.h"
#include "kernels/int8/rounded_rows.h"
#include "tensor/tensor.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// Blocks of a row in a slab of `groups` times 32 columns.
template <class W>
constexpr std::int64_t BlocksOf(std::int64_t groups) {
  return groups * 32 / W::kElements;
}
template <class W>
constexpr std::int64_t SlabBytes(std::int64_t groups) {
  const std::int64_t bytes = BlocksOf<W>(groups) * (4 * W::kWords + (W::kHalfAt >= 0 ? 2 : 0)) * kLanes;
  constexpr std::int64_t kAlignment = kCacheLine;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// The bytes at data + min(i, rows - 1) * row_bytes as lanes.
class RowsAt {
 public:
  RowsAt(const std::uint8_t* data, std::int64_t row_bytes, std::int64_t rows) {
    for (std::int64_t i = 0; i < kLanes; ++i) rows_[i] = data + std::min(i, rows - 1) * row_bytes;
  }
  // The four words from `byte` on, by shuffles, because gathering is slow.
  HWY_INLINE void FourWords(std::int64_t byte, std::uint32_t* to) const {
    const auto four = [&](std::int64_t row) HWY_ATTR {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows_[row] + byte));
    };
    WordVec words[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
#if HWY_TARGET <= HWY_AVX3_DL
      const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(four(i)), four(i + 4), 1);
      const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(four(i + 8)), four(i + 12), 1);
      words[i].raw = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
#else
      words[i].raw = _mm256_inserti128_si256(_mm256_castsi128_si256(four(i)), four(i + 4), 1);
#endif
    }
    // Now each 128-bit block is a row of four words, and those of words[i] are of rows i, i + 4, and so on.
    const hn::Repartition<std::uint64_t, WordTag> d64;
    const WordTag d;
    const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, words[0], words[1]));
    const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, words[0], words[1]));
    const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, words[2], words[3]));
    const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, words[2], words[3]));
    hn::Store(hn::BitCast(d, hn::InterleaveLower(d64, low01, low23)), d, to);
    hn::Store(hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23)), d, to + kLanes);
    hn::Store(hn::BitCast(d, hn::InterleaveLower(d64, high01, high23)), d, to + 2 * kLanes);
    hn::Store(hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23)), d, to + 3 * kLanes);
  }
  HWY_INLINE void Half(std::int64_t byte, std::uint16_t* to) const {
    for (std::int64_t i = 0; i < kLanes; ++i) std::memcpy(to + i, rows_[i] + byte, 2);
  }

 private:
  const std::uint8_t* rows_[kLanes];
};

template <class W>
HWY_INLINE Slab SlabAt(const std::uint32_t* words, std::int64_t groups) {
  return {words, reinterpret_cast<const std::uint16_t*>(words + BlocksOf<W>(groups) * W::kWords * kLanes)};
}

// Packs the block at `block` of each row.
template <class W>
HWY_INLINE void PackBlock(const RowsAt& from, std::int64_t block, std::uint32_t* words,
                          std::uint16_t* halves) {
  static_assert(W::kWords >= 4);
  for (std::int64_t i = 0; i < W::kWords; i += 4) {
    // The last four may begin within those before: nothing is read past a block.
    const std::int64_t first = std::min<std::int64_t>(i, W::kWords - 4);
    from.FourWords(block + W::kWordsAt + 4 * first, words + first * kLanes);
  }
  if constexpr (W::kHalfAt >= 0) from.Half(block + W::kHalfAt, halves);
}

// Packs a slab of `rows` rows, the last of them again and again where they are fewer than kLanes. `data` is
// the first row's part of the slab in the file.
template <class W>
void PackSlab(const std::uint8_t* data, std::int64_t row_bytes, std::int64_t rows, std::int64_t groups,
              std::uint32_t* words) {
  const std::int64_t blocks = BlocksOf<W>(groups);
  auto* halves = reinterpret_cast<std::uint16_t*>(words + blocks * W::kWords * kLanes);
  const RowsAt file(data, row_bytes, rows);
  for (std::int64_t b = 0; b < blocks; ++b, words += W::kWords * kLanes, halves += kLanes) {
    if constexpr (requires { typename W::Recoded; }) {
      typename W::Recoded recoded[kLanes];
      for (std::int64_t i = 0; i < rows; ++i)
        W::Recode(data + i * row_bytes + b * W::kBlockBytes, recoded[i]);
      PackBlock<W>({reinterpret_cast<const std::uint8_t*>(recoded), sizeof(recoded[0]), rows}, 0, words,
                   halves);
    } else {
      PackBlock<W>(file, b * W::kBlockBytes, words, halves);
    }
  }
}

// A weight as products see it: strips and slabs, packed beforehand or as they are read.
template <class W>
class Strips {
 public:
  explicit Strips(const Tensor& weight)
      : file_(reinterpret_cast<const std::uint8_t*>(weight.bytes().data())),
        packed_(weight.packing().lanes == kLanes
                    ? reinterpret_cast<const std::uint8_t*>(weight.packing().bytes.data())
                    : nullptr),
        rows_(weight.rows()),
        row_bytes_(weight.row_bytes()),
        slabs_((weight.cols() + RoundedRows::kSlab - 1) / RoundedRows::kSlab),
        last_groups_(weight.cols() / 32 - (slabs_ - 1) * RoundedRows::kGroups),
        strip_bytes_((slabs_ - 1) * kSlabBytes + SlabBytes<W>(last_groups_)) {}

  static constexpr std::int64_t kSlabBytes = SlabBytes<W>(RoundedRows::kGroups);

  std::int64_t rows() const { return rows_; }
  std::int64_t strips() const { return (rows_ + kLanes - 1) / kLanes; }
  std::int64_t slabs() const { return slabs_; }
  std::int64_t groups(std::int64_t slab) const {
    return slab + 1 == slabs_ ? last_groups_ : RoundedRows::kGroups;
  }
  std::int64_t strip_bytes() const { return strip_bytes_; }
  std::int64_t packed_bytes() const { return strips() * strip_bytes_; }

  // `scratch` [kSlabBytes / 4] holds the slab where it is packed now.
  HWY_INLINE Slab Read(std::int64_t strip, std::int64_t slab, std::uint32_t* scratch) const {
    if (packed_ != nullptr) {
      const std::uint8_t* at = packed_ + strip * strip_bytes_ + slab * kSlabBytes;
      return SlabAt<W>(reinterpret_cast<const std::uint32_t*>(at), groups(slab));
    }
    PackTo(strip, slab, scratch);
    return SlabAt<W>(scratch, groups(slab));
  }

  void PackTo(std::int64_t strip, std::int64_t slab, std::uint32_t* to) const {
    const std::int64_t first = strip * kLanes;
    constexpr std::int64_t kFileSlab = BlocksOf<W>(RoundedRows::kGroups) * W::kBlockBytes;
    PackSlab<W>(file_ + first * row_bytes_ + slab * kFileSlab, row_bytes_, std::min(kLanes, rows_ - first),
                groups(slab), to);
  }

  // Memory of `count` slabs of `strips` strips, which may be fewer or none.
  Ahead Memory(std::int64_t strip, std::int64_t strips, std::int64_t slab, std::int64_t count) const {
    strips = std::min(strips, this->strips() - strip);
    count = std::min(count, slabs_ - slab);
    if (strips <= 0 || count <= 0) return {};
    if (packed_ != nullptr) {
      return {packed_ + strip * strip_bytes_ + slab * kSlabBytes, strips, count * kSlabBytes, strip_bytes_};
    }
    constexpr std::int64_t kFileSlab = BlocksOf<W>(RoundedRows::kGroups) * W::kBlockBytes;
    return {file_ + strip * kLanes * row_bytes_ + slab * kFileSlab,
            std::min(strips * kLanes, rows_ - strip * kLanes), count * kFileSlab, row_bytes_};
  }

 private:
  const std::uint8_t *file_, *packed_;
  std::int64_t rows_, row_bytes_, slabs_, last_groups_, strip_bytes_;
};

template <class W>
void PackStrips(const Tensor& weight, std::byte* to) {
  const Strips<W> strips(weight);
  ParallelFor(strips.strips(), [&](std::int64_t strip) {
    std::byte* at = to + strip * strips.strip_bytes();
    for (std::int64_t slab = 0; slab < strips.slabs(); ++slab, at += Strips<W>::kSlabBytes)
      strips.PackTo(strip, slab, reinterpret_cast<std::uint32_t*>(at));
  });
}

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
