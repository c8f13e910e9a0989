#include "base/temporary.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

std::ptrdiff_t Entries(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

// Runs `work` in a process that is then killed, without destructors.
template <class Work>
void InAKilledProcess(Work work) {
  const pid_t process = ::fork();
  if (process == 0) {
    work();
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(process, &status, 0), process);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST(Temporary, NamesAreRecognised) {
  EXPECT_TRUE(IsTemporaryName(TemporaryPath("a/b/model.gguf").filename().string()));
  EXPECT_EQ(TemporaryPath("a/b/model.gguf").parent_path(), "a/b");
  EXPECT_NE(TemporaryPath("x"), TemporaryPath("x"));
  for (const char* name :
       {"model.gguf", "", "model.gguf.longspan-tmp-", ".longspan-tmp-0123456789abcdef",
        "model.longspan-tmp-0123456789abcdeg", "model.longspan-tmp-0123456789abcdef.gguf"}) {
    EXPECT_FALSE(IsTemporaryName(name)) << name;
  }
}

TEST(Temporary, TheLongestNameThatAFileCanHave) {
  const TestFolder folder;
  const fs::path path = folder / std::string(255, 'x');
  TemporaryFile file(path, TemporaryFile::Naming::kTemporary);
  EXPECT_TRUE(file.Finish());
  EXPECT_TRUE(fs::exists(path));
  WriteFile(path, "again");
  EXPECT_EQ(Entries(folder.path()), 1);
}

TEST(Temporary, BothKindsOfFilesReplaceAndAppear) {
  for (const auto naming : {TemporaryFile::Naming::kNoneIfPossible, TemporaryFile::Naming::kTemporary}) {
    const TestFolder folder;
    for (const std::string text : {"first", "second"}) {
      TemporaryFile file(folder / "a", naming);
      ASSERT_EQ(::write(file.fd(), text.data(), text.size()), std::ssize(text));
      EXPECT_TRUE(file.Finish());
      EXPECT_EQ(ReadFile(folder / "a"), text);
      EXPECT_EQ(Entries(folder.path()), 1);
    }
    { const TemporaryFile dropped(folder / "a", naming); }
    EXPECT_EQ(ReadFile(folder / "a"), "second");
    EXPECT_EQ(Entries(folder.path()), 1);
  }
}

TEST(Temporary, AKilledProcessLeavesNothingWhereFilesNeedNoName) {
  const TestFolder folder;
  const int fd = ::open(folder.path().c_str(), O_TMPFILE | O_RDWR, 0600);
  if (fd < 0) GTEST_SKIP() << "this file system has no files without names";
  ::close(fd);
  InAKilledProcess([&] { AtomicFile(folder / "a").Write(std::string(3 << 20, 'x')); });
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Temporary, WhatAKilledProcessLeftIsRemovedWithTheNextFile) {
  const TestFolder folder;
  const std::string user_file = "notes.longspan-tmp-of-mine";
  InAKilledProcess([&] {
    new TemporaryFile(folder / "a", TemporaryFile::Naming::kTemporary);
    const fs::path unfinished = TemporaryPath(folder / "b");
    fs::create_directory(unfinished);
    WriteFile(unfinished / "part", "x");
    WriteFile(folder / user_file, "mine");
  });
  ASSERT_EQ(Entries(folder.path()), 3);
  WriteFile(folder / "c", "text");
  EXPECT_EQ(Entries(folder.path()), 2);
  EXPECT_EQ(ReadFile(folder / user_file), "mine");
}

TEST(Temporary, WhatAnotherProcessWritesStays) {
  const TestFolder folder;
  const fs::path file = TemporaryPath(folder / "a"), unfinished = TemporaryPath(folder / "b");
  const int fd = ::open(file.c_str(), O_CREAT | O_RDWR, 0600);
  fs::create_directory(unfinished);
  const int folder_fd = ::open(unfinished.c_str(), O_RDONLY | O_DIRECTORY);
  LockTemporary(fd);
  LockTemporary(folder_fd);
  RemoveStaleTemporaries(folder.path());
  EXPECT_TRUE(fs::exists(file));
  EXPECT_TRUE(fs::exists(unfinished));
  ::close(fd);
  ::close(folder_fd);
}

TEST(Temporary, LinksAreFollowedToTheirEnd) {
  const TestFolder folder;
  fs::create_directory(folder / "sub");
  fs::create_symlink("sub/b", folder / "a");
  fs::create_symlink("../c", folder / "sub/b");
  EXPECT_EQ(FollowLinks(folder / "a").lexically_normal(), folder / "c");
  EXPECT_EQ(FollowLinks(folder / "sub"), folder / "sub");
  EXPECT_EQ(FollowLinks("no/such"), "no/such");
  fs::create_symlink("circle", folder / "circle");
  EXPECT_EQ(KindOf([&] { FollowLinks(folder / "circle"); }), ErrorKind::kIo);
}

}  // namespace
}  // namespace longspan
