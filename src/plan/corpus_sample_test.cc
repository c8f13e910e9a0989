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
  for (int i = 0; i < 12; ++i) {
    lengths.push_back(5 + 13 * i % 50);
    WriteFile(folder / fmt::format("texts/{:02}.txt", i), std::string(lengths.back(), 'x'));
  }
  for (const bool slice : {false, true}) {
    PrepareOptions options;
    options.min_tokens = 8;
    options.max_tokens = 30;
    options.slice = slice;
    options.validation_share = 0.3;
    const PreparedLengths prepared = Prepared(lengths, options, true);
    const PrepareReport report =
        Prepare({folder / "texts"}, ByteEncoder(), options, folder / "out", NoProgress());
    EXPECT_EQ(prepared.documents, report.kept);
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
