#include "data/prepare/document_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/testing/expect_error.h"

namespace longspan {
namespace {

using testing::ElementsAre;

TEST(LengthLimits, SlicesWhatIsLonger) {
  const LengthLimits limits{10, 20, true};
  EXPECT_EQ(Judge(9, limits), LengthVerdict::kTooShort);
  EXPECT_EQ(Judge(45, limits), LengthVerdict::kFits);
  EXPECT_THAT(PieceEnds(45, limits), ElementsAre(20, 40));  // and 5 that are too few
  EXPECT_THAT(PieceEnds(51, limits), ElementsAre(20, 40, 51));
  EXPECT_EQ(Judge(45, {10, 20, false}), LengthVerdict::kTooLong);
  EXPECT_THAT(PieceEnds(45, {10, 0, false}), ElementsAre(45));
}

std::vector<TextHash> Hashes(int count) {
  std::vector<TextHash> hashes;
  for (int i = 0; i < count; ++i) hashes.push_back(HashText("document " + std::to_string(i)));
  return hashes;
}

std::set<TextHash> HeldOut(const std::vector<TextHash>& hashes, double share) {
  HeldOutDocuments held_out(share);
  for (const TextHash& hash : hashes) held_out.Add(hash);
  std::set<TextHash> found;
  for (const TextHash& hash : hashes) {
    if (held_out.Contains(hash)) found.insert(hash);
  }
  return found;
}

// 10,000 documents at 0.05 are 500, with a deviation of 22.
TEST(HeldOutDocuments, AreTheShareAndStayWhereTheyAre) {
  const std::vector<TextHash> all = Hashes(10'000);
  const std::set<TextHash> found = HeldOut(all, 0.05);
  EXPECT_NEAR(static_cast<double>(found.size()), 500, 5 * 22);
  for (const TextHash& hash : HeldOut({all.begin(), all.begin() + 1000}, 0.05))
    EXPECT_TRUE(found.contains(hash));
}

TEST(HeldOutDocuments, AreNeitherNoneNorAllOfAFew) {
  for (int n = 2; n < 40; ++n) {
    for (const double share : {1e-9, 0.01, 0.5, 0.99}) {
      const std::size_t found = HeldOut(Hashes(n), share).size();
      EXPECT_GE(found, 1u);
      EXPECT_LT(found, static_cast<std::size_t>(n));
    }
    EXPECT_TRUE(HeldOut(Hashes(n), 0).empty());
  }
  EXPECT_TRUE(HeldOut(Hashes(1), 0.99).empty());
}

TEST(HeldOutDocuments, RefusesAShareOfAllOrLessThanNothing) {
  for (const double share : {1.0, -0.1}) {
    EXPECT_EQ(KindOf([&] { HeldOutDocuments held_out(share); }), ErrorKind::kBadOption);
  }
}

// A bit anywhere, a length, a place: every bit of the hash follows.
TEST(TextHash, TellsSimilarTextsApart) {
  std::set<TextHash> seen;
  std::set<std::uint64_t> high, low;
  for (int length = 0; length < 40; ++length) {
    for (int at = 0; at < std::max(1, length); ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string text(static_cast<std::size_t>(length), '\0');
        if (length > 0)
          text[at] = static_cast<char>(1 << bit);
        else if (bit > 0)
          continue;
        const TextHash hash = HashText(text);
        EXPECT_TRUE(seen.insert(hash).second);
        EXPECT_TRUE(high.insert(hash.high).second);
        EXPECT_TRUE(low.insert(hash.low).second);
      }
    }
  }
}

}  // namespace
}  // namespace longspan
