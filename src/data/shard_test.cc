#include "data/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "data/testing/byte_encoder.h"

namespace longspan {
namespace {

using testing::ElementsAre;

TEST(Shard, RoundTripsNarrowAndWideVocabularies) {
  const TestFolder folder;
  for (const std::int64_t size : {65536, 65537, 128256}) {
    const auto last = static_cast<std::int32_t>(size - 1);
    const Shard shard = MakeShard(folder / "a.lsd", {{1, 2, last}, {}, {last}}, {size, 1, -1});
    EXPECT_EQ(shard.documents(), 3);
    EXPECT_EQ(shard.tokens(), 4);
    EXPECT_EQ(shard.vocabulary().size, size);
    EXPECT_EQ(shard.vocabulary().bos, 1);
    EXPECT_EQ(shard.vocabulary().eos, -1);
    EXPECT_THAT(shard.ReadDocument(0), ElementsAre(1, 2, last));
    EXPECT_THAT(shard.ReadDocument(1), ElementsAre());
    EXPECT_THAT(shard.ReadDocument(2), ElementsAre(last));
    std::vector<std::int32_t> two(2);
    shard.Read(0, 1, two);
    EXPECT_THAT(two, ElementsAre(2, last));
    EXPECT_THROW(shard.Read(0, 2, two), Error);
    EXPECT_THROW(shard.Read(3, 0, two), Error);
  }
}

// More offsets than a writer holds in memory.
TEST(Shard, HoldsManyDocuments) {
  const TestFolder folder;
  constexpr std::int64_t kDocuments = 300'000;
  ShardWriter writer(folder / "a.lsd", {300, -1, -1, 0});
  for (std::int32_t i = 0; i < kDocuments; ++i) {
    const std::vector<std::int32_t> document(i % 3, i % 300);
    writer.Add(document);
  }
  EXPECT_EQ(writer.documents(), kDocuments);
  EXPECT_EQ(writer.tokens(), kDocuments);
  writer.Commit();
  const Shard shard = Shard::Open(folder / "a.lsd");
  ASSERT_EQ(shard.documents(), kDocuments);
  for (std::int64_t i = 0; i < kDocuments; ++i) {
    ASSERT_EQ(shard.Length(i), i % 3);
    if (i % 3 > 0) {
      ASSERT_EQ(shard.ReadDocument(i).back(), i % 300);
    }
  }
  shard.CheckTokens();
}

TEST(Shard, TakesTwoBytesATokenWhereTheyDo) {
  const TestFolder folder;
  const std::vector<std::int32_t> tokens(10'000, 7);
  MakeShard(folder / "narrow.lsd", {tokens}, {65536, -1, -1});
  MakeShard(folder / "wide.lsd", {tokens}, {65537, -1, -1});
  EXPECT_LT(std::filesystem::file_size(folder / "narrow.lsd"), 20'100u);
  EXPECT_LT(std::filesystem::file_size(folder / "wide.lsd"), 40'100u);
}

TEST(Shard, RefusesTokensOutsideTheVocabulary) {
  const TestFolder folder;
  ShardWriter writer(folder / "a.lsd", {10, -1, -1});
  EXPECT_THROW(writer.Add(std::vector<std::int32_t>{10}), Error);
  EXPECT_THROW(writer.Add(std::vector<std::int32_t>{-1}), Error);
}

TEST(Shard, AppearsOnlyWhenCommitted) {
  const TestFolder folder;
  {
    ShardWriter writer(folder / "a.lsd", {10, -1, -1});
    writer.Add(std::vector<std::int32_t>{1});
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Shard, RefusesTruncationAtEveryByte) {
  const TestFolder folder;
  MakeShard(folder / "a.lsd", {{1, 2, 3}, {4, 5}});
  const std::string whole = ReadFile(folder / "a.lsd");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    WriteFile(folder / "b.lsd", whole.substr(0, length));
    EXPECT_EQ(KindOf([&] { Shard::Open(folder / "b.lsd"); }), ErrorKind::kInvalidFile) << length;
  }
  WriteFile(folder / "b.lsd", whole + '\0');
  EXPECT_THROW(Shard::Open(folder / "b.lsd"), Error);
}

// Whatever a byte is changed to, a shard either refuses with an Error or reads within its bounds.
TEST(Shard, SurvivesEveryChangedByte) {
  const TestFolder folder;
  MakeShard(folder / "a.lsd", {{1, 2, 3}, {4, 5}});
  const std::string whole = ReadFile(folder / "a.lsd");
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char value : {'\x00', '\x01', '\x7f', '\x80', '\xff'}) {
      std::string changed = whole;
      changed[at] = value;
      WriteFile(folder / "b.lsd", changed);
      try {
        const Shard shard = Shard::Open(folder / "b.lsd");
        for (std::int64_t i = 0; i < shard.documents(); ++i) {
          for (const std::int32_t token : shard.ReadDocument(i)) EXPECT_LT(token, shard.vocabulary().size);
        }
      } catch (const Error&) {
      }
    }
  }
}

TEST(Shard, RefusesHugeCountsInFewBytes) {
  const TestFolder folder;
  MakeShard(folder / "a.lsd", {{1, 2, 3}});
  const std::string whole = ReadFile(folder / "a.lsd");
  for (const std::uint64_t count : {UINT64_MAX, UINT64_MAX / 2, UINT64_MAX / 8, std::uint64_t{1} << 61}) {
    for (const std::size_t from_end : {24, 16}) {  // documents, tokens
      std::string changed = whole;
      std::memcpy(changed.data() + changed.size() - from_end, &count, sizeof count);
      WriteFile(folder / "b.lsd", changed);
      EXPECT_EQ(KindOf([&] { Shard::Open(folder / "b.lsd"); }), ErrorKind::kInvalidFile);
    }
  }
}

ErrorKind KindOfFit(const Shard& shard, const TextEncoder& encoder) {
  return KindOf([&] { CheckFits(shard, encoder); });
}

TEST(Shard, FitsTheTokenizerThatMadeIt) {
  const TestFolder folder;
  const Shard shard = MakeShard(folder / "a.lsd", {{1, 2, 3}, {}, std::vector<std::int32_t>(200'000, 7)});
  EXPECT_NO_THROW(CheckFits(shard, ByteEncoder()));
  TextEncoder size = ByteEncoder(), ids = ByteEncoder(), bos = ByteEncoder(), eos = ByteEncoder();
  size.vocab_size = 300;
  ids.fingerprint += 1;  // as many tokens in another order, like Llama 2's and Mistral's
  bos.bos = -1;
  eos.eos = 3;
  for (const TextEncoder& other : {size, ids, bos, eos}) {
    EXPECT_EQ(KindOfFit(shard, other), ErrorKind::kBadOption);
  }
}

TEST(Shard, DamagedTokensAreFoundBeforeTheyAreUsed) {
  const TestFolder folder;
  MakeShard(folder / "a.lsd", {{1, 2, 3}, {4, 5}});
  const std::string whole = ReadFile(folder / "a.lsd");
  constexpr std::size_t kTokens = 40;
  for (const std::uint16_t token : {9, 258, 65535}) {  // inside the vocabulary, and outside
    std::string changed = whole;
    std::memcpy(changed.data() + kTokens + 2, &token, sizeof token);
    WriteFile(folder / "b.lsd", changed);
    EXPECT_EQ(KindOfFit(Shard::Open(folder / "b.lsd"), ByteEncoder()), ErrorKind::kInvalidFile) << token;
  }
}

TEST(Shard, AnOlderVersionIsToBePreparedAgain) {
  const TestFolder folder;
  MakeShard(folder / "a.lsd", {{1}});
  std::string old = ReadFile(folder / "a.lsd");
  old[8] = 1;
  WriteFile(folder / "a.lsd", old);
  try {
    Shard::Open(folder / "a.lsd");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(error.what(), testing::HasSubstr("longspan prepare"));
  }
}

TEST(Shard, TheDigestTellsContentsApart) {
  const TestFolder folder;
  using Documents = std::vector<std::vector<std::int32_t>>;
  std::vector<std::uint64_t> digests;
  for (const Documents& documents : {Documents{{1, 2}, {3}}, Documents{{1, 2, 3}}, Documents{{1}, {2, 3}},
                                     Documents{{1, 2}, {4}}, Documents{{1, 2}, {3}, {}}}) {
    digests.push_back(MakeShard(folder / "a.lsd", documents).digest());
  }
  digests.push_back(MakeShard(folder / "a.lsd", {{1, 2}, {3}}, {258, 256, 257, 1}).digest());
  std::ranges::sort(digests);
  EXPECT_EQ(std::ranges::adjacent_find(digests), digests.end());
}

}  // namespace
}  // namespace longspan
