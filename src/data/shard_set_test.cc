#include "data/shard_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/new_file.h"
#include "data/testing/byte_encoder.h"

namespace longspan {
namespace {

using testing::ElementsAre;
namespace fs = std::filesystem;

constexpr ShardVocabulary kVocabulary{258, 256, 257, kByteFingerprint};

void WriteSet(const fs::path& folder, std::int32_t train, std::optional<std::int32_t> validation) {
  ShardSetWriter writer(folder, kVocabulary);
  writer.train().Add(std::vector{train});
  if (validation) writer.validation().Add(std::vector{*validation});
  writer.Commit();
}

std::vector<std::string> Names(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

TEST(ShardSet, OpensWhatWasWritten) {
  const TestFolder folder;
  EXPECT_FALSE(ShardSet::Exists(folder.path()));
  WriteSet(folder.path(), 1, std::nullopt);
  EXPECT_TRUE(ShardSet::Exists(folder.path()));
  EXPECT_FALSE(ShardSet::Open(folder.path()).validation);
  WriteSet(folder.path(), 1, 2);
  EXPECT_THAT(ShardSet::Open(folder.path()).validation->ReadDocument(0), ElementsAre(2));
  EXPECT_THAT(Names(folder.path()), ElementsAre("train.lsd", "validation.lsd"));
  WriteSet(folder.path(), 1, std::nullopt);
  EXPECT_THAT(Names(folder.path()), ElementsAre("train.lsd"));
}

TEST(ShardSet, TouchesNothingElse) {
  const TestFolder folder;
  WriteFile(folder / "notes.txt", "mine");
  WriteSet(folder.path(), 1, 2);
  WriteSet(folder.path(), 3, std::nullopt);
  EXPECT_EQ(ReadFile(folder / "notes.txt"), "mine");
  { ShardSetWriter unfinished(folder.path(), kVocabulary); }
  EXPECT_THAT(Names(folder.path()), ElementsAre("notes.txt", "train.lsd"));
}

// The folder as it is after each step of a replacement, made of the files of two sets.
TEST(ShardSet, IsWholeAfterEachStepOfAReplacement) {
  const TestFolder before, after, folder;
  WriteSet(before.path(), 1, 11);
  WriteSet(after.path(), 2, 22);
  const auto put = [&](const TestFolder& from, const char* name, const char* as) {
    fs::copy_file(from / name, folder / as, fs::copy_options::overwrite_existing);
  };
  const auto pair = [&] {
    const ShardSet set = ShardSet::Open(folder.path());
    return std::pair(set.train.ReadDocument(0).front(), set.validation->ReadDocument(0).front());
  };
  put(before, "train.lsd", "train.lsd");
  put(before, "validation.lsd", "validation.lsd");
  put(after, "validation.lsd", "validation.next.lsd");
  EXPECT_EQ(pair(), std::pair(1, 11));
  put(after, "train.lsd", "train.lsd");
  EXPECT_EQ(pair(), std::pair(2, 22));

  // A run that is ended here leaves a pair under two names. The next run must not lose it, so it completes
  // the rename before it writes validation.next.lsd anew.
  WriteSet(folder.path(), 3, 33);
  EXPECT_EQ(pair(), std::pair(3, 33));
  EXPECT_THAT(Names(folder.path()), ElementsAre("train.lsd", "validation.lsd"));
}

TEST(ShardSet, OfTwoRunsAtOnceTheSecondLeavesTheFirstsPairAlone) {
  const TestFolder folder;
  KeepIfItAppears(folder / ShardSet::kTrain);
  ShardSetWriter late(folder.path(), kVocabulary);
  late.train().Add(std::vector{2});
  late.validation().Add(std::vector{22});
  {
    const TestFolder other;
    WriteSet(other.path(), 1, 11);
    for (const char* name : {"train.lsd", "validation.lsd"}) fs::copy_file(other / name, folder / name);
  }
  EXPECT_EQ(KindOf([&] { late.Commit(); }), ErrorKind::kIo);
  EXPECT_THAT(ShardSet::Open(folder.path()).validation->ReadDocument(0), ElementsAre(11));
  EXPECT_THAT(Names(folder.path()), ElementsAre("train.lsd", "validation.lsd"));
}

TEST(ShardSet, RefusesAPairOfTwoRuns) {
  const TestFolder first, second;
  WriteSet(first.path(), 1, 11);
  WriteSet(second.path(), 1, 22);
  fs::copy_file(second / "validation.lsd", first / "validation.lsd", fs::copy_options::overwrite_existing);
  EXPECT_EQ(KindOf([&] { ShardSet::Open(first.path()); }), ErrorKind::kInvalidFile);
  fs::remove(first / "validation.lsd");
  EXPECT_EQ(KindOf([&] { ShardSet::Open(first.path()); }), ErrorKind::kInvalidFile);
}

TEST(ShardSet, TheDigestTellsContentsApart) {
  const TestFolder a, b;
  const auto digests_equal = [&] {
    return ShardSet::Open(a.path()).content_digest() == ShardSet::Open(b.path()).content_digest();
  };
  WriteSet(a.path(), 1, 11);
  WriteSet(b.path(), 1, 11);
  EXPECT_TRUE(digests_equal());
  WriteSet(b.path(), 2, 11);  // the same number of documents and tokens
  EXPECT_FALSE(digests_equal());
  WriteSet(b.path(), 1, 12);
  EXPECT_FALSE(digests_equal());
}

}  // namespace
}  // namespace longspan
