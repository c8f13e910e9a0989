#include "base/folder_lock.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string FailureOf(const fs::path& folder) {
  try {
    const FolderLock lock(folder);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    return error.what();
  }
  return "";
}

TEST(FolderLock, IsForOneAtATime) {
  const TestFolder folder;
  const fs::path work = folder / "a/work";
  {
    const FolderLock lock(work);  // makes the folder
    EXPECT_THAT(FailureOf(work),
                HasSubstr(fmt::format("{}: another longspan works in this folder (process {})", work.string(),
                                      ::getpid())));
    fs::create_directory_symlink(work, folder / "link");
    EXPECT_THAT(FailureOf(folder / "link"), HasSubstr("another longspan"));
  }
  EXPECT_EQ(FailureOf(work), "");
}

TEST(FolderLock, IsSharedByThoseWhoAskForIt) {
  const TestFolder folder;
  {
    const FolderLock one(folder.path(), FolderLock::Holders::kShared);
    const FolderLock two(folder.path(), FolderLock::Holders::kShared);
    EXPECT_THAT(FailureOf(folder.path()), HasSubstr("another longspan works in this folder"));
  }
  const FolderLock alone(folder.path());
  EXPECT_EQ(KindOf([&] { const FolderLock lock(folder.path(), FolderLock::Holders::kShared); }),
            ErrorKind::kIo);
}

TEST(FolderLock, RemovesItsFolderOnlyWhereNothingElseIsThere) {
  const TestFolder folder;
  const fs::path work = folder / "work";
  WriteFile(work / "file", "precious");
  {
    const FolderLock lock(work);
    lock.RemoveFolderIfEmpty();
    EXPECT_EQ(ReadFile(work / "file"), "precious");
    fs::remove(work / "file");
    lock.RemoveFolderIfEmpty();
    EXPECT_FALSE(fs::exists(work));
    EXPECT_EQ(FailureOf(work), "");  // a new folder, a new lock
  }
}

TEST(FolderLock, LeavesAFileOfSomebodyElse) {
  const TestFolder folder;
  const fs::path file = folder / kLockFile;
  for (const std::string text : {"precious", "12345678901234567890 and more", "\n"}) {
    WriteFile(file, text);
    const FolderLock lock(file.parent_path());
    EXPECT_EQ(ReadFile(file), text);
  }
  WriteFile(file, "123456789");  // of a process that is gone
  const FolderLock lock(file.parent_path());
  EXPECT_EQ(ReadFile(file), std::to_string(::getpid()));
}

TEST(FolderLock, SaysWhatIsNoFolder) {
  const TestFolder folder;
  fs::create_symlink("nowhere", folder / "dangling");
  WriteFile(folder / "file", "precious");
  EXPECT_THAT(FailureOf(folder / "dangling"),
              HasSubstr("dangling: expected a folder, found a link that leads to none"));
  EXPECT_THAT(FailureOf(folder / "file"), HasSubstr("file: expected a folder, found a file"));
  EXPECT_EQ(ReadFile(folder / "file"), "precious");
}

}  // namespace
}  // namespace longspan
