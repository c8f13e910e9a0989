#include "data/prepare/units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/file.h"
#include "base/testing/temporary_folder.h"
#include "data/testing/compressed.h"

namespace longspan {
namespace {

using testing::ElementsAre;

TEST(Units, AreSmallFilesTogetherAndPiecesOfLargeOnes) {
  const TestFolder folder;
  const std::string line = "{\"text\": \"a\"}\n";
  std::string lines;
  while (lines.size() < 950) lines += line;
  WriteFile(folder / "in/a.txt", std::string(60, 'a'));
  WriteFile(folder / "in/b.txt", std::string(60, 'b'));
  WriteFile(folder / "in/c.jsonl", lines);
  WriteFile(folder / "in/d.txt", std::string(500, 'd'));  // one document
  WriteFile(folder / "in/e.jsonl.zst", Zstd(lines));
  WriteFile(folder / "in/f.txt", "");
  const std::vector<CorpusFile> files = ListCorpus({folder / "in"}).files;
  const std::vector<PrepareUnit> units = MakeUnits(files, 100, "text", "");
  std::vector<std::size_t> counts;
  std::set<std::string> names;
  std::uint64_t bytes = 0;
  for (const PrepareUnit& unit : units) {
    counts.push_back(unit.pieces.size());
    names.insert(unit.name);
    bytes += unit.bytes();
  }
  // a; b; ten pieces of c; d; e and f.
  EXPECT_THAT(counts, ElementsAre(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2));
  EXPECT_EQ(names.size(), units.size());
  std::uint64_t all = 0;
  for (const CorpusFile& file : files) all += file.bytes;
  EXPECT_EQ(bytes, all);
  EXPECT_TRUE(units[5].is_piece());
  EXPECT_FALSE(units[12].is_piece());
  EXPECT_EQ(MakeUnits(files, 100, "text", "").front().name, units.front().name);
  EXPECT_NE(MakeUnits(files, 100, "text", "other").front().name, units.front().name);
  EXPECT_EQ(MakeUnits(files, 1 << 20, "text", "").size(), 1u);
}

TEST(Units, AreSharedOutByTheirBytes) {
  std::vector<PrepareUnit> units;
  for (const std::uint64_t bytes : {1000, 10, 10, 500, 0, 490, 0})
    units.push_back({{{{"file", bytes, true}}}, std::to_string(units.size())});
  EXPECT_THAT(ShareOut(units, 2), ElementsAre(0, 1, 0, 1, 1, 1, 1));
  const std::vector<std::int64_t> alone = ShareOut(units, 7);
  EXPECT_EQ(std::set<std::int64_t>(alone.begin(), alone.end()).size(), 7u);
  EXPECT_THAT(ShareOut({}, 3), ElementsAre());
}

}  // namespace
}  // namespace longspan
