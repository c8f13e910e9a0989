#include "infer/sequence_file.h"

#include <gmock/gmock.h>

#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "infer/testing/small_engine.h"
#include "model/fingerprint.h"

namespace longspan {
namespace {

class SequenceFileTest : public testing::Test {
 protected:
  // A sequence whose cache holds all tokens but the last.
  std::string Saved(std::int64_t length) {
    KvCache cache(pool_);
    const Tokens tokens = SomeTokens(length, 1);
    if (length > 1) {
      Matrix hidden(length - 1, model().config().dim);
      model().Forward(std::span(tokens).first(length - 1), cache, hidden);
    }
    SaveSequence(folder_ / "a.lsq", fingerprint_, tokens, cache);
    return ReadFile(folder_ / "a.lsq");
  }
  SavedSequence Read(std::string_view file) const {
    return ReadSequence(std::as_bytes(std::span(file)), "a.lsq", fingerprint_, 61, pool_);
  }
  std::optional<ErrorKind> KindOf(std::string_view file) const {
    try {
      Read(file);
      return std::nullopt;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr("a.lsq"));
      return e.kind();
    }
  }
  const Transformer& model() const { return small_.transformer; }

  const SmallModel small_;
  const std::uint64_t fingerprint_ = Fingerprint(small_.transformer);
  const std::shared_ptr<KvPagePool> pool_ =
      KvPagePool::Make(oracle::SmallConfig(), Type::kF32, 10 * kSmallPageBytes);
  const TestFolder folder_;
};

// What an attacker would do after changing a file.
std::string WithItsChecksum(std::string file) {
  Hash64 hash;
  hash.Update(std::string_view(file).substr(0, file.size() - 8));
  const std::uint64_t sum = hash.value();
  std::memcpy(file.data() + file.size() - 8, &sum, 8);
  return file;
}

TEST_F(SequenceFileTest, GoesOnAsIfItHadNeverStopped) {
  for (const std::int64_t length : {1, 2, 64, 65, 66, 130}) {
    Saved(length);
    const Tokens tokens = SomeTokens(length, 1), more = SomeTokens(10, 2);
    SavedSequence saved = RestoreSequence(folder_ / "a.lsq", fingerprint_, 61, pool_);
    EXPECT_EQ(saved.tokens, tokens);
    EXPECT_EQ(saved.cache.length(), length - 1);
    KvCache fresh(pool_);
    Matrix hidden(length - 1, model().config().dim), want(10, model().config().dim),
        got(10, model().config().dim);
    if (length > 1) model().Forward(std::span(tokens).first(length - 1), fresh, hidden);
    model().Forward(more, fresh, want);
    model().Forward(more, saved.cache, got);
    EXPECT_TRUE(std::ranges::equal(got.span(), want.span())) << length;
  }
  EXPECT_EQ(pool_->used_pages(), 0);
}

TEST_F(SequenceFileTest, HoldsEveryTypeOfCache) {
  LlamaConfig config = oracle::SmallConfig();
  config.head_dim = 32;
  const Transformer model(config, oracle::LivelyWeights(config, 1), ChooseKernels("auto"));
  const Tokens tokens = SomeTokens(100, 1), more = SomeTokens(10, 2);
  for (const Type type : {Type::kF32, Type::kF16, Type::kBF16, Type::kQ8_0, Type::kQ4_0}) {
    const auto pool = KvPagePool::Make(config, type);
    KvCache cache(pool);
    Matrix hidden(100, config.dim), want(10, config.dim), got(10, config.dim);
    model.Forward(tokens, cache, hidden);
    SaveSequence(folder_ / "typed.lsq", 1, tokens, cache);
    SavedSequence saved = RestoreSequence(folder_ / "typed.lsq", 1, 61, pool);
    model.Forward(more, cache, want);
    model.Forward(more, saved.cache, got);
    EXPECT_TRUE(std::ranges::equal(got.span(), want.span())) << Traits(type).name;
  }
}

TEST_F(SequenceFileTest, WritesNothingOfOtherSequences) {
  const std::string before = Saved(10);
  {
    KvCache other(pool_);  // takes the page that has just come back
    Matrix hidden(64, model().config().dim);
    model().Forward(SomeTokens(64, 9), other, hidden);
  }
  EXPECT_EQ(Saved(10), before);
}

TEST_F(SequenceFileTest, MayHoldNothing) {
  SaveSequence(folder_ / "empty.lsq", fingerprint_, {}, KvCache(pool_));
  const SavedSequence saved = Read(ReadFile(folder_ / "empty.lsq"));
  EXPECT_TRUE(saved.tokens.empty());
  EXPECT_EQ(saved.cache.length(), 0);
}

TEST_F(SequenceFileTest, RefusesTruncationAtEveryByte) {
  const std::string whole = Saved(10);
  ASSERT_EQ(whole.size(), 72 + 40 + kSmallPageBytes + 8);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    ASSERT_EQ(KindOf(std::string_view(whole).substr(0, length)), ErrorKind::kInvalidFile) << length;
    if (length < 9) continue;
    const auto kind = KindOf(WithItsChecksum(whole.substr(0, length)));
    ASSERT_TRUE(kind == ErrorKind::kInvalidFile || kind == ErrorKind::kBadOption ||
                kind == ErrorKind::kUnsupported)
        << length;
  }
  EXPECT_EQ(KindOf(whole + '\0'), ErrorKind::kInvalidFile);
  EXPECT_EQ(KindOf(WithItsChecksum(whole + std::string(8, '\0'))), ErrorKind::kInvalidFile);
  EXPECT_EQ(pool_->used_pages(), 0);
}

TEST_F(SequenceFileTest, NoticesEveryChangedBit) {
  const std::string whole = Saved(10);
  std::string changed = whole;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    const int bit = static_cast<int>(at % 8);
    changed[at] = static_cast<char>(whole[at] ^ 1 << bit);
    ASSERT_NE(KindOf(changed), std::nullopt) << at;
    changed[at] = whole[at];
  }
}

// A sequence has exactly one file: bytes that no token wrote are zero, so that nobody else's keys can hide
// there.
TEST_F(SequenceFileTest, RefusesBytesAfterTheLastToken) {
  std::string changed = Saved(10);
  changed[changed.size() - 9] = 1;  // of the last head's V, in the slot of the 64th token
  EXPECT_EQ(KindOf(WithItsChecksum(changed)), ErrorKind::kInvalidFile);
  EXPECT_EQ(pool_->used_pages(), 0);
}

TEST_F(SequenceFileTest, MakesRoomForWhatIsWholeAlone) {
  const std::string whole = Saved(70);
  std::string damaged = whole;
  damaged.back() ^= 1;
  std::int64_t wanted = 0;
  const auto read = [&](const std::string& file) {
    ReadSequence(std::as_bytes(std::span(file)), "a.lsq", fingerprint_, 61, pool_,
                 [&](std::int64_t pages) { wanted = pages; });
  };
  EXPECT_THROW(read(damaged), Error);
  EXPECT_EQ(wanted, 0);
  read(whole);
  EXPECT_EQ(wanted, 2);
}

// The checksum fits here, so the reader depends on its checks of each field.
TEST_F(SequenceFileTest, SurvivesAnyHeader) {
  const std::string whole = Saved(70);
  for (std::size_t at = 0; at < 72 + 4 * 70; ++at) {
    for (const char value : {'\x00', '\x01', '\x3d', '\x7f', '\x80', '\xff'}) {
      std::string changed = whole;
      changed[at] = value;
      try {
        const SavedSequence saved = Read(WithItsChecksum(changed));
        for (const std::int32_t token : saved.tokens) ASSERT_TRUE(token >= 0 && token < 61);
        ASSERT_LE(saved.cache.length(), std::ssize(saved.tokens));
      } catch (const Error& e) {
        ASSERT_NE(e.kind(), ErrorKind::kInternal) << at << ": " << e.what();
      }
    }
  }
  const auto with = [&](std::size_t at, std::int64_t value) {
    std::string changed = whole;
    std::memcpy(changed.data() + at, &value, sizeof value);
    return KindOf(WithItsChecksum(changed));
  };
  for (const std::int64_t value :
       {std::int64_t{71}, std::int64_t{1} << 62, std::int64_t{-1}, INT64_MIN, INT64_MAX}) {
    for (const std::size_t at : {24, 32, 40, 48, 56, 64})
      EXPECT_EQ(with(at, value), ErrorKind::kInvalidFile) << at;
  }
  EXPECT_EQ(pool_->used_pages(), 0);
}

TEST_F(SequenceFileTest, IsOfOneModelAndOneType) {
  const std::string whole = Saved(70);
  const auto bytes = std::as_bytes(std::span(whole));
  const auto read = [&](std::uint64_t fingerprint, const std::shared_ptr<KvPagePool>& pool) {
    return [=] { ReadSequence(bytes, "a.lsq", fingerprint, 61, pool); };
  };
  EXPECT_THAT(read(fingerprint_ + 1, pool_),
              testing::ThrowsMessage<Error>(testing::HasSubstr("another model")));
  LlamaConfig wide = oracle::SmallConfig();
  wide.head_dim = 32;
  EXPECT_THAT(read(fingerprint_, KvPagePool::Make(wide, Type::kF32)),
              testing::ThrowsMessage<Error>(testing::HasSubstr("dimensions a head")));
  EXPECT_THAT(read(fingerprint_, KvPagePool::Make(wide, Type::kQ8_0)),
              testing::ThrowsMessage<Error>(testing::HasSubstr("type F32, expected Q8_0")));
}

TEST_F(SequenceFileTest, RespectsTheLimit) {
  const std::string whole = Saved(70);
  const auto taken = pool_->Take(9);
  EXPECT_EQ(KindOf(whole), ErrorKind::kOutOfMemory);
  EXPECT_EQ(pool_->used_pages(), 9);
}

TEST_F(SequenceFileTest, NamesAMissingFile) {
  EXPECT_THAT([&] { RestoreSequence(folder_ / "none.lsq", fingerprint_, 61, pool_); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("none.lsq")));
}

}  // namespace
}  // namespace longspan
