#include "data/prepare/part.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

const std::string kName(32, 'a');

void WritePart(const TestFolder& folder, std::int64_t vocab_size) {
  PartWriter writer(folder.path(), kName, vocab_size, true);
  const BandKeys bands{1, 2, 3};
  writer.Add({HashText("one"), 3, 0}, std::vector<std::int32_t>{1, 2, 3}, bands);
  writer.Add({HashText("two"), 2, 1}, std::vector<std::int32_t>{4, 299}, kNoBandKeys);
  PartSummary summary;
  summary.lines = 7;
  summary.subsets = {{"c4", {5, 50}, {}, {2, 3}, {1, 42}, {}, {}}, {"", {1, 2}, {}, {}, {}, {}, {}}};
  summary.skips.lines.Add({"a\xFF.jsonl:", 3, ": no \"JSON\""});
  summary.skips.others.Add("b.png: a picture");
  writer.Commit(std::move(summary));
}

TEST(Part, GivesBackWhatWasWritten) {
  const TestFolder folder;
  for (const std::int64_t vocab_size : {300, 128'256}) {
    WritePart(folder, vocab_size);
    const Part part(folder.path(), kName, vocab_size);
    const PartSummary& summary = part.summary();
    EXPECT_EQ(summary.documents, 2);
    EXPECT_EQ(summary.tokens, 5);
    EXPECT_EQ(summary.lines, 7);
    ASSERT_EQ(summary.subsets.size(), 2u);
    EXPECT_EQ(summary.subsets[0].subset, "c4");
    EXPECT_EQ(summary.subsets[0].found, (DocumentCount{5, 50}));
    EXPECT_EQ(summary.subsets[0].too_short, (DocumentCount{2, 3}));
    EXPECT_EQ(summary.subsets[0].too_long, (DocumentCount{1, 42}));
    EXPECT_THAT(summary.skips.lines.named[0].Text(), testing::EndsWith(".jsonl:3: no \"JSON\""));
    EXPECT_EQ(summary.skips.others.named[0].Text(), "b.png: a picture");
    EXPECT_EQ(part.Document(1).hash, HashText("two"));
    EXPECT_EQ(part.Document(1).subset, 1u);
    EXPECT_EQ(part.Bands(0), (BandKeys{1, 2, 3}));
    EXPECT_EQ(part.Bands(1), kNoBandKeys);
    std::vector<std::int32_t> tokens(3);
    part.ReadTokens(2, tokens);
    EXPECT_THAT(tokens, testing::ElementsAre(3, 4, 299));
    part.CheckDocuments();
    part.CheckTokens();
  }
  std::int64_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    files += IsPartFile(entry.path());
  EXPECT_EQ(files, 4);
  EXPECT_FALSE(IsPartFile("notes.json"));
  EXPECT_FALSE(IsPartFile(kName + ".txt"));
}

TEST(Part, IsThereOnlyWhole) {
  const TestFolder folder;
  EXPECT_FALSE(PartExists(folder.path(), kName, 300));
  WritePart(folder, 300);
  EXPECT_TRUE(PartExists(folder.path(), kName, 300));
  EXPECT_FALSE(PartExists(folder.path(), kName, 128'256));  // twice the bytes
  const std::filesystem::path path = folder / (kName + ".json");
  const std::string summary = ReadFile(path);
  for (std::size_t i = 0; i < summary.size(); ++i) {
    WriteFile(path, summary.substr(0, i));
    EXPECT_FALSE(PartExists(folder.path(), kName, 300)) << i;
    std::string changed = summary;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    WriteFile(path, changed);
    PartExists(folder.path(), kName, 300);  // says yes or no
  }
}

}  // namespace
}  // namespace longspan
