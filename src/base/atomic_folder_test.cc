#include "base/atomic_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

std::ptrdiff_t Entries(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

TEST(AtomicFolder, AppearsWithCommit) {
  const TestFolder test;
  {
    AtomicFolder folder(test / "new" / "out/");
    WriteFile(folder.path() / "a", "text");
    EXPECT_FALSE(fs::exists(test / "new" / "out"));
    folder.Commit();
  }
  EXPECT_EQ(ReadFile(test / "new" / "out" / "a"), "text");
  EXPECT_EQ(Entries(test / "new"), 1);
}

TEST(AtomicFolder, UncommittedLeavesNothing) {
  const TestFolder test;
  {
    AtomicFolder folder(test / "out");
    WriteFile(folder.path() / "a", "text");
  }
  EXPECT_EQ(Entries(test.path()), 0);
}

TEST(AtomicFolder, TakesAnEmptyFolderAndNoOther) {
  const TestFolder test;
  fs::create_directory(test / "empty");
  AtomicFolder folder(test / "empty");
  WriteFile(folder.path() / "a", "text");
  folder.Commit();
  EXPECT_THROW(AtomicFolder(test / "empty"), Error);
  WriteFile(test / "file", "text");
  EXPECT_THROW(AtomicFolder(test / "file"), Error);
}

TEST(AtomicFolder, ALinkStaysAndLeadsToTheFolder) {
  const TestFolder test;
  fs::create_directory(test / "disk");
  fs::create_symlink("disk/out", test / "link");
  AtomicFolder folder(test / "link");
  WriteFile(folder.path() / "a", "text");
  folder.Commit();
  EXPECT_TRUE(fs::is_symlink(test / "link"));
  EXPECT_EQ(ReadFile(test / "disk/out/a"), "text");
  EXPECT_EQ(Entries(test / "disk"), 1);
}

TEST(AtomicFolder, TheUmaskHoldsAndAnEmptyFolderKeepsItsPermissions) {
  const TestFolder test;
  const mode_t before = ::umask(0027);
  AtomicFolder made(test / "new");
  ::umask(before);
  made.Commit();
  EXPECT_EQ(fs::status(test / "new").permissions(), static_cast<fs::perms>(0750));
  fs::create_directory(test / "empty");
  fs::permissions(test / "empty", static_cast<fs::perms>(0700));
  AtomicFolder replaced(test / "empty");
  replaced.Commit();
  EXPECT_EQ(fs::status(test / "empty").permissions(), static_cast<fs::perms>(0700));
}

}  // namespace
}  // namespace longspan
