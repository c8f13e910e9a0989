#include "data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/parallel.h"
#include "data/shard_set.h"
#include "data/testing/byte_encoder.h"
#include "data/testing/compressed.h"

namespace longspan {
namespace {

using testing::HasSubstr;

// A corpus of documents of these lengths, document i made of one letter.
std::filesystem::path WriteCorpus(const TestFolder& folder, const std::vector<int>& lengths) {
  std::string lines;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const std::string text(static_cast<std::size_t>(lengths[i]), static_cast<char>('a' + i % 26));
    lines += "{\"text\": \"" + text + "\"}\n";
  }
  WriteFile(folder / "corpus.jsonl", lines);
  return folder / "corpus.jsonl";
}

TEST(Prepare, FiltersByWholeDocuments) {
  const TestFolder folder;
  const auto corpus = WriteCorpus(folder, {9, 10, 15, 20, 21, 45, 0});
  PrepareOptions options;
  options.min_tokens = 10;
  options.max_tokens = 20;
  const PrepareReport report = Prepare({corpus}, ByteEncoder(), options, folder / "out", NoProgress());
  EXPECT_EQ(report.documents, 7);
  EXPECT_EQ(report.kept, 3);
  EXPECT_EQ(report.too_short, 2);
  EXPECT_EQ(report.too_long, 2);
  EXPECT_EQ(report.train_tokens, 10 + 15 + 20 + 3);  // an EOS each
  const Shard shard = ShardSet::Open(folder / "out").train;
  ASSERT_EQ(shard.documents(), 3);
  EXPECT_EQ(ByteText(shard.ReadDocument(0)), std::string(10, 'b'));
  EXPECT_EQ(shard.ReadDocument(2).back(), 257);
  EXPECT_EQ(shard.vocabulary().bos, 256);
}

TEST(Prepare, SlicesLongerDocumentsWhereAsked) {
  const TestFolder folder;
  const auto corpus = WriteCorpus(folder, {9, 20, 45, 51});
  PrepareOptions options;
  options.min_tokens = 10;
  options.max_tokens = 20;
  options.slice = true;
  const PrepareReport report = Prepare({corpus}, ByteEncoder(), options, folder / "out", NoProgress());
  EXPECT_EQ(report.kept, 3);
  EXPECT_EQ(report.too_long, 0);
  EXPECT_EQ(report.sliced, 2);
  const Shard shard = ShardSet::Open(folder / "out").train;
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; i < shard.documents(); ++i) lengths.push_back(shard.Length(i));
  // 45 = 20 + 20 + 5: the last piece is shorter than min_tokens, so it is dropped together with its EOS.
  EXPECT_THAT(lengths, testing::ElementsAre(21, 20, 20, 20, 20, 11 + 1));
}

TEST(Prepare, SpacesValidationEvenly) {
  const TestFolder folder;
  const auto corpus = WriteCorpus(folder, std::vector<int>(40, 12));
  PrepareOptions options;
  options.validation_share = 0.1;
  options.append_eos = false;
  PrepareReport report = Prepare({corpus}, ByteEncoder(), options, folder / "out", NoProgress());
  EXPECT_EQ(report.train_pieces, 36);
  EXPECT_EQ(report.validation_pieces, 4);
  ShardSet set = ShardSet::Open(folder / "out");
  ASSERT_TRUE(set.validation);
  EXPECT_EQ(ByteText(set.validation->ReadDocument(0)), std::string(12, 'e'));
  EXPECT_EQ(ByteText(set.validation->ReadDocument(1)), std::string(12, 'o'));

  // A second run without validation leaves no stale one behind.
  options.validation_share = 0;
  Prepare({corpus}, ByteEncoder(), options, folder / "out", NoProgress());
  EXPECT_FALSE(ShardSet::Open(folder / "out").validation);
}

TEST(Prepare, DoesNotDependOnThreads) {
  const TestFolder folder;
  std::vector<int> lengths;
  for (int i = 0; i < 700; ++i) lengths.push_back(1 + i * 37 % 101);
  const auto corpus = WriteCorpus(folder, lengths);
  const int threads = Threads();
  for (const int n : {1, 4}) {
    SetThreads(n);
    Prepare({corpus}, ByteEncoder(), {}, folder / std::to_string(n), NoProgress());
  }
  SetThreads(threads);
  EXPECT_EQ(ReadFile(folder / "1" / "train.lsd"), ReadFile(folder / "4" / "train.lsd"));
}

TEST(Prepare, ExplainsAnEmptyResult) {
  const TestFolder folder;
  WriteFile(folder / "a.jsonl", "{\"content\": \"in another field\"}\n");
  try {
    Prepare({folder / "a.jsonl"}, ByteEncoder(), {}, folder / "out", NoProgress());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadOption);
    EXPECT_THAT(error.what(), HasSubstr("a.jsonl:1"));
    EXPECT_THAT(error.what(), HasSubstr("no field \"text\""));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "out" / "train.lsd"));
}

TEST(Prepare, SaysThatAllDocumentsWereHeldOut) {
  const TestFolder folder;
  WriteFile(folder / "a.txt", "one");
  PrepareOptions options;
  options.min_tokens = 1;
  options.validation_share = 0.99;
  try {
    Prepare({folder / "a.txt"}, ByteEncoder(), options, folder / "out", NoProgress());
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("1 held out; lower the validation share"));
  }
}

TEST(Prepare, KeepsTheRestWhereSomeCannotBeUsed) {
  const TestFolder folder;
  WriteFile(folder / "a.jsonl.zst", Zstd("{\"text\": \"cut off\"}\n").substr(0, 20));
  WriteFile(folder / "b.jsonl", "{\"text\": \"one\"}\n{\"text\": \"choke\"}\nno JSON\n{\"text\": \"two\"}\n");
  TextEncoder encoder = ByteEncoder();
  encoder.encode = [encode = encoder.encode](std::string_view text) {
    if (text == "choke") Fail(ErrorKind::kInternal, "too much");
    return encode(text);
  };
  PrepareOptions options;
  const PrepareReport report =
      Prepare({folder / "a.jsonl.zst", folder / "b.jsonl"}, encoder, options, folder / "out", NoProgress());
  EXPECT_EQ(report.kept, 2);
  EXPECT_EQ(report.skips.lines.count, 1);
  EXPECT_EQ(report.skips.documents.count, 1);
  EXPECT_EQ(report.skips.files.count, 1);
  EXPECT_EQ(report.skips.Summary(), "1 line, 1 document and 1 file");
  EXPECT_EQ(ShardSet::Open(folder / "out").train.documents(), 2);
}

TEST(Prepare, RefusesImpossibleOptions) {
  const TestFolder folder;
  const auto corpus = WriteCorpus(folder, {10});
  const auto Kind = [&](PrepareOptions options) {
    return KindOf([&] { Prepare({corpus}, ByteEncoder(), options, folder / "out", NoProgress()); });
  };
  PrepareOptions range, slice, share;
  range.min_tokens = 20;
  range.max_tokens = 10;
  slice.slice = true;
  share.validation_share = 1;
  for (const PrepareOptions& options : {range, slice, share}) EXPECT_EQ(Kind(options), ErrorKind::kBadOption);
}

}  // namespace
}  // namespace longspan
