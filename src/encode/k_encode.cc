// The K types: what each search may try, and how its result is stored.
#include "base/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "encode/k_encode.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include "encode/block_encode.h"
#include "encode/block_pack.h"
#include "encode/emphasis-inl.h"
#include "encode/k_affine-inl.h"
#include "encode/k_symmetric-inl.h"
#include "encode/search_tables.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

using TypeQ2_K = AffineType<16, 3, 15>;
using TypeQ4_K = AffineType<32, 15, 63>;
using TypeQ5_K = AffineType<32, 31, 63>;
using TypeQ3_K = SymmetricType<4, -32>;
using TypeQ6_K = SymmetricType<32, -128>;

// Calls write(choice, block of the group, codes) -> Block for every super-block of a row.
template <class T, class Block, class Write>
void EncodeAffine(const float* from, std::byte* to, std::int64_t elements, const float* importance,
                  const AffineSearch& plain, const AffineSearch& weighted, const Write& write) {
  const auto encode = [&](const float* x, const float* weights, std::byte* out, int blocks) {
    Group<T::kValues> group;
    LoadGroup(x, weights, T::kSubs, group);
    if (weights != nullptr && weighted.emphasise) Emphasise(T::kSubs, group);
    const AffineChoice choice = weights == nullptr ? FitAffine<T>(group, NoWeights(), plain)
                                                   : FitAffine<T>(group, group.weights, weighted);
    for (int i = 0; i < blocks; ++i) {
      SuperCodes codes;
      AffineCodes<T>(x + kSuperBlock * i, group, choice, i, codes);
      const Block block = write(choice, i, codes);
      std::memcpy(out + sizeof(block) * static_cast<std::size_t>(i), &block, sizeof(block));
    }
  };
  ForEachGroup<T::kValues, Block, T::kSubs>(from, importance, to, elements, encode);
}

// Calls write(choice, codes) -> Block for every super-block of a row.
template <class T, class Block, class Write>
void EncodeSymmetric(const float* from, std::byte* to, std::int64_t elements, const float* importance,
                     const SymmetricSearch& plain, const SymmetricSearch& weighted, const Write& write) {
  const auto encode = [&](const float* x, const float* weights, std::byte* out, int) {
    Group<T::kValues> group;
    LoadGroup(x, weights, kGroup, group);
    if (weights != nullptr && weighted.emphasise) Emphasise(kGroup, group);
    const SymmetricChoice choice = weights == nullptr ? FitSymmetric<T>(group, NoWeights(), plain)
                                                      : FitSymmetric<T>(group, group.weights, weighted);
    SuperCodes codes;
    SymmetricCodes<T>(x, group, choice, codes);
    const Block block = write(choice, codes);
    std::memcpy(out, &block, sizeof(block));
  };
  ForEachGroup<T::kValues, Block, kGroup>(from, importance, to, elements, encode);
}

template <class Int>
std::array<Int, 16> Integers16(const Lanes& lanes, int add = 0) {
  std::array<Int, 16> integers;
  for (int i = 0; i < 16; ++i) integers[i] = static_cast<Int>(static_cast<int>(lanes[i]) + add);
  return integers;
}

SubScales SubScalesOf(const AffineChoice& choice, int block) {
  SubScales scales;
  for (int i = 0; i < 8; ++i) {
    scales.scale[i] = static_cast<std::uint8_t>(choice.scale[8 * block + i]);
    scales.min[i] = static_cast<std::uint8_t>(choice.min[8 * block + i]);
  }
  return scales;
}

}  // namespace

void WriteQ2_K(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  EncodeAffine<TypeQ2_K, BlockQ2_K>(
      from, to, elements, importance, kPlainQ2_K, kWeightedQ2_K,
      [](const AffineChoice& choice, int i, const SuperCodes& codes) {
        const auto scales = Integers16<std::uint8_t>(choice.scale),
                   mins = Integers16<std::uint8_t>(choice.min);
        BlockQ2_K block{{}, PackBitPairs(codes), choice.d_packed[i], choice.dmin_packed[i]};
        for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<std::uint8_t>(scales[j] | mins[j] << 4);
        return block;
      });
}

void WriteQ3_K(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  EncodeSymmetric<TypeQ3_K, BlockQ3_K>(
      from, to, elements, importance, kPlainQ3_K, kWeightedQ3_K,
      [](const SymmetricChoice& choice, const SuperCodes& codes) {
        return BlockQ3_K{PackThirdBits(codes), PackBitPairs(codes),
                         PackQ3Scales(Integers16<std::uint8_t>(choice.scale, 32)), choice.d_packed};
      });
}

void WriteQ4_K(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  EncodeAffine<TypeQ4_K, BlockQ4_K>(from, to, elements, importance, kPlainQ4_K, kWeightedQ4_K,
                                    [](const AffineChoice& choice, int i, const SuperCodes& codes) {
                                      return BlockQ4_K{choice.d_packed[i], choice.dmin_packed[i],
                                                       PackScales(SubScalesOf(choice, i)),
                                                       PackNibbles(codes)};
                                    });
}

void WriteQ5_K(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  EncodeAffine<TypeQ5_K, BlockQ5_K>(from, to, elements, importance, kPlainQ5_K, kWeightedQ5_K,
                                    [](const AffineChoice& choice, int i, const SuperCodes& codes) {
                                      return BlockQ5_K{choice.d_packed[i], choice.dmin_packed[i],
                                                       PackScales(SubScalesOf(choice, i)),
                                                       PackFifthBits(codes), PackNibbles(codes)};
                                    });
}

void WriteQ6_K(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  EncodeSymmetric<TypeQ6_K, BlockQ6_K>(
      from, to, elements, importance, kPlainQ6_K, kWeightedQ6_K,
      [](const SymmetricChoice& choice, const SuperCodes& codes) {
        const SixBits bits = PackSixBits(codes);
        return BlockQ6_K{bits.low, bits.high, Integers16<std::int8_t>(choice.scale), choice.d_packed};
      });
}

Encoder FindK(Type type) {
  switch (type) {
    case Type::kQ2_K: return WriteQ2_K;
    case Type::kQ3_K: return WriteQ3_K;
    case Type::kQ4_K: return WriteQ4_K;
    case Type::kQ5_K: return WriteQ5_K;
    case Type::kQ6_K: return WriteQ6_K;
    default: return nullptr;
  }
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

HWY_EXPORT(FindK);

Encoder FindKEncoder(Type type) { return HWY_DYNAMIC_DISPATCH(FindK)(type); }

}  // namespace longspan
#endif
