#include "base/atomic_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <optional>
#include <string>

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

// An empty folder on which a file system is mounted, if this machine has one.
std::optional<fs::path> EmptyMountPoint() {
  std::ifstream mounts("/proc/self/mounts");
  for (std::string device, folder, rest; mounts >> device >> folder && std::getline(mounts, rest);) {
    std::error_code error;
    if (fs::is_directory(folder, error) && fs::is_empty(folder, error) && !error) return folder;
  }
  return std::nullopt;
}

std::string Refusal(const fs::path& path) {
  try {
    const AtomicFolder folder(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadOption);
    return error.what();
  }
  return "";
}

// Renaming another folder to it would fail after the work, or leave the shell in a folder that is gone.
TEST(AtomicFolder, RefusesAnEmptyFolderThatCannotBeReplaced) {
  const TestFolder test;
  const fs::path before = fs::current_path();
  fs::current_path(test.path());
  EXPECT_THAT(Refusal("."), testing::HasSubstr(".: is the current folder, which cannot be replaced"));
  EXPECT_THAT(Refusal(test.path()), testing::HasSubstr("is the current folder"));
  fs::current_path(before);
  EXPECT_EQ(Refusal(test.path()), "");
  if (const auto mounted = EmptyMountPoint()) {
    EXPECT_THAT(Refusal(*mounted), testing::HasSubstr("is a mount point, which cannot be replaced; name"));
  }
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
