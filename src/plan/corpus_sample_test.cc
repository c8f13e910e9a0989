#include "plan/corpus_sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/file.h"
#include "base/testing/temporary_folder.h"
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

}  // namespace
}  // namespace longspan
