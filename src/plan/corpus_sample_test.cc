#include "plan/corpus_sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/file.h"
#include "base/testing/temporary_folder.h"
#include "data/shard_set.h"
#include "data/testing/byte_encoder.h"

namespace longspan {
namespace {

TEST(SampleCorpus, ReadsAllWhereThereIsTime) {
  const TestFolder folder;
  WriteFile(folder / "a.txt", std::string(100, 'a'));
  WriteFile(folder / "b.txt", std::string(300, 'b'));
  const CorpusSample sample = SampleCorpus({folder.path()}, {}, ByteEncoder(), 1000);
  EXPECT_THAT(sample.lengths, testing::ElementsAre(100, 300));
  EXPECT_TRUE(sample.whole());
}

TEST(SampleCorpus, SaysWhatShareItRead) {
  const TestFolder folder;
  for (const char* name : {"a.txt", "b.txt", "c.txt", "d.txt"})
    WriteFile(folder / name, std::string(500, 'x'));
  const CorpusSample sample = SampleCorpus({folder.path()}, {}, ByteEncoder(), 0);
  EXPECT_EQ(sample.lengths.size(), 1u);
  EXPECT_FALSE(sample.whole());
  EXPECT_NEAR(sample.share, 0.25, 1e-9);
}

// As the shards have them.
TEST(Prepared, IsWhatPrepareMakes) {
  const TestFolder folder;
  std::vector<std::int64_t> lengths;
  std::vector<TextHash> hashes;
  for (int i = 0; i < 12; ++i) {
    lengths.push_back(5 + 13 * i % 50);
    const std::string text(lengths.back(), static_cast<char>('a' + i));
    hashes.push_back(HashText(text));
    WriteFile(folder / fmt::format("texts/{:02}.txt", i), text);
  }
  // A copy, which counts once.
  lengths.push_back(lengths[3]);
  hashes.push_back(hashes[3]);
  std::filesystem::copy_file(folder / "texts/03.txt", folder / "texts/99.txt");
  for (const bool slice : {false, true}) {
    PrepareOptions options;
    options.limits = {8, 30, slice};
    options.validation_share = 0.3;
    const PreparedLengths prepared = Prepared(lengths, hashes, options, true);
    const PrepareReport report =
        Prepare({folder / "texts"}, ByteEncoder(), options, folder / "out", NoProgress());
    EXPECT_EQ(prepared.documents, report.total.kept.documents);
    EXPECT_EQ(prepared.tokens, report.total.kept.tokens);
    const ShardSet shards = ShardSet::Open(folder / "out");
    const auto read = [](const Shard& shard) {
      std::vector<std::int64_t> all;
      for (std::int64_t i = 0; i < shard.documents(); ++i) all.push_back(shard.Length(i));
      return all;
    };
    EXPECT_EQ(prepared.train, read(shards.train));
    EXPECT_EQ(prepared.held_out, read(shards.validation.value()));
  }
}

}  // namespace
}  // namespace longspan
