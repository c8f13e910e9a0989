#include "base/atomic_folder.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace longspan
