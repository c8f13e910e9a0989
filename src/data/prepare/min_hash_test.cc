#include "data/prepare/min_hash.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace longspan {
namespace {

// `count` words that occur in no text of another seed.
std::string Words(int seed, int count) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text += "w" + std::to_string(seed) + "x" + std::to_string(i * 7919 % 10'007) + " ";
  return text;
}

bool Alike(const BandKeys& a, const BandKeys& b) {
  for (int band = 0; band < kMinHashBands; ++band) {
    if (a[band] == b[band]) return true;
  }
  return false;
}

// Pairs of texts of 450 shingles each, of which k are shared: their similarity is k / (900 - k). The share of
// pairs found must lie within 5 deviations of the probability. Too strong or too weak hash functions, or
// bands that depend on each other, would show.
TEST(MinHash, FindsPairsWithTheProbabilityThatTheirSimilarityHas) {
  constexpr int kPairs = 1000, kShingles = 450;
  for (const double wanted : {0.3, 0.5, 0.6, 0.7, 0.8, 0.9}) {
    const int shared = static_cast<int>(std::lround(2 * kShingles * wanted / (1 + wanted)));
    const double s = shared / (2.0 * kShingles - shared);
    const double p = 1 - std::pow(1 - std::pow(s, kMinHashRows), kMinHashBands);
    int found = 0;
    for (int i = 0; i < kPairs; ++i) {
      const std::string common = Words(3 * i, shared + kShingleWords - 1);
      const int rest = kShingles - shared;
      found +=
          Alike(BandKeysOf(common + Words(3 * i + 1, rest)), BandKeysOf(common + Words(3 * i + 2, rest)));
    }
    EXPECT_NEAR(found, kPairs * p, 5 * std::sqrt(kPairs * p * (1 - p)) + 1) << "similarity " << s;
  }
}

TEST(MinHash, LooksAtWordsAlone) {
  const std::string text = "The quick brown fox, jumps over the lazy dog";
  EXPECT_EQ(BandKeysOf(text), BandKeysOf("the QUICK -- brown\nfox jumps (over) the lazy dog."));
  EXPECT_NE(BandKeysOf(text), BandKeysOf("The quick brown fox jumps over the lazy cat"));
  EXPECT_EQ(BandKeysOf("one two"), BandKeysOf("One, two!"));
  EXPECT_FALSE(Alike(BandKeysOf("one two"), BandKeysOf("two one")));
  EXPECT_FALSE(Alike(BandKeysOf("one two"), BandKeysOf("one two three")));
  EXPECT_NE(BandKeysOf("жук"), kNoBandKeys);
  EXPECT_EQ(BandKeysOf(" ... !"), kNoBandKeys);
  EXPECT_EQ(BandKeysOf(""), kNoBandKeys);
}

}  // namespace
}  // namespace longspan
