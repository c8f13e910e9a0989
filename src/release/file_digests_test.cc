#include "release/file_digests.h"

#include <gmock/gmock.h>

#include <fstream>

#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"
#include "release/checksums.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Listener : public Progress {
 public:
  void Message(std::string_view line) override { lines += std::string(line) + "\n"; }
  std::string lines;
};

class FileDigestsTest : public testing::Test {
 protected:
  FileDigestsTest() { WriteFile(folder_ / "file", "abc"); }

  TestFolder folder_;
  Listener listener_;
  fs::path database_ = folder_ / "digests.sqlite3";
};

TEST_F(FileDigestsTest, AreThoseOfTheContents) {
  FileDigests digests(database_, listener_);
  EXPECT_EQ(digests.Of(folder_ / "file"), Sha256Text("abc"));
  WriteFile(folder_ / "file", "abd");
  EXPECT_EQ(digests.Of(folder_ / "file"), Sha256Text("abd"));
}

TEST_F(FileDigestsTest, AreRememberedUntilTheFileChanges) {
  {
    FileDigests digests(database_, listener_);
    EXPECT_FALSE(digests.Knows(folder_ / "file"));
    digests.Of(folder_ / "file");
    EXPECT_TRUE(digests.Knows(folder_ / "file"));
  }
  FileDigests digests(database_, listener_);
  EXPECT_TRUE(digests.Knows(folder_ / "file"));
  const auto time = fs::last_write_time(folder_ / "file");
  std::ofstream(folder_ / "file", std::ios::trunc) << "abd";  // in place, of the same size
  fs::last_write_time(folder_ / "file", time);
  EXPECT_FALSE(digests.Knows(folder_ / "file"));
  EXPECT_EQ(digests.Of(folder_ / "file"), Sha256Text("abd"));
}

// Times move in ticks of milliseconds: a file that changes within one must not keep its digest.
TEST_F(FileDigestsTest, AFileThatChangesRightAfterIsSeen) {
  FileDigests digests(database_, listener_);
  for (int i = 0; i < 50; ++i) {
    const std::string before = std::to_string(1000 + i), after = std::to_string(2000 + i);
    std::ofstream(folder_ / "file", std::ios::trunc) << before;
    EXPECT_EQ(digests.Of(folder_ / "file"), Sha256Text(before));
    std::ofstream(folder_ / "file", std::ios::trunc) << after;
    EXPECT_EQ(digests.Of(folder_ / "file"), Sha256Text(after));
  }
}

TEST_F(FileDigestsTest, OfAFolderAreOfNamesAndContents) {
  WriteFile(folder_ / "tree/a/b.txt", "1");
  FileDigests digests(database_, listener_);
  const std::string first = digests.Of(folder_ / "tree");
  EXPECT_TRUE(digests.Knows(folder_ / "tree"));
  EXPECT_EQ(digests.Of(folder_ / "tree"), first);
  fs::rename(folder_ / "tree/a/b.txt", folder_ / "tree/a/c.txt");
  EXPECT_NE(digests.Of(folder_ / "tree"), first);
  fs::rename(folder_ / "tree/a/c.txt", folder_ / "tree/a/b.txt");
  EXPECT_EQ(digests.Of(folder_ / "tree"), first);
  WriteFile(folder_ / "tree/d.txt", "");
  EXPECT_NE(digests.Of(folder_ / "tree"), first);
}

TEST_F(FileDigestsTest, LinksThatLeadNowhereAreErrorsOrNoFiles) {
  fs::create_symlink(folder_ / "absent", folder_ / "dangling");
  fs::create_symlink(folder_ / "round", folder_ / "round");
  FileDigests digests(database_, listener_);
  for (const char* name : {"absent", "dangling", "round"}) {
    EXPECT_EQ(KindOf([&] { digests.Of(folder_ / name); }), ErrorKind::kIo) << name;
  }
  WriteFile(folder_ / "tree/a", "1");
  const std::string tree = digests.Of(folder_ / "tree");
  fs::create_symlink(folder_ / "absent", folder_ / "tree/dangling");
  fs::create_symlink(folder_ / "tree/round", folder_ / "tree/round");
  EXPECT_EQ(digests.Of(folder_ / "tree"), tree);
}

TEST_F(FileDigestsTest, GoWithARenamedFile) {
  FileDigests digests(database_, listener_);
  const std::string digest = digests.Of(folder_ / "file");
  fs::rename(folder_ / "file", folder_ / "renamed");
  EXPECT_FALSE(digests.Knows(folder_ / "renamed"));
  digests.Remember(folder_ / "renamed", digest);
  EXPECT_TRUE(digests.Knows(folder_ / "renamed"));
  EXPECT_EQ(digests.Of(folder_ / "renamed"), digest);
}

TEST_F(FileDigestsTest, ADamagedDatabaseIsReplacedAndSaidSo) {
  { FileDigests(database_, listener_).Of(folder_ / "file"); }
  const std::string whole = ReadFile(database_);
  for (const std::string& bad :
       {std::string(5000, 'x'), whole.substr(0, 50), "SQLite format 3" + whole.substr(16)}) {
    WriteFile(database_, bad);
    FileDigests digests(database_, listener_);
    EXPECT_EQ(digests.Of(folder_ / "file"), Sha256Text("abc"));
    EXPECT_TRUE(digests.Knows(folder_ / "file"));
  }
  EXPECT_THAT(listener_.lines, HasSubstr("files are read and digested again"));
}

}  // namespace
}  // namespace longspan
