#include "base/new_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string Refusal(const fs::path& path) {
  try {
    CheckWritable(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    return error.what();
  }
  return "";
}

TEST(NewFile, WritableIsWhatAFileCanBeMadeAt) {
  const TestFolder test;
  WriteFile(test / "file", "text");
  EXPECT_EQ(Refusal(test / "new"), "");
  EXPECT_EQ(Refusal(test / "file"), "");
  EXPECT_EQ(Refusal(test / "a" / "b" / "new"), "");  // AtomicFile makes the folders
  EXPECT_EQ(std::distance(fs::directory_iterator(test.path()), fs::directory_iterator()), 1);
  EXPECT_THAT(Refusal(test / "file" / "new"), HasSubstr("file is no folder"));
  EXPECT_THAT(Refusal(test / "file" / "a" / "new"), HasSubstr("file is no folder"));
  EXPECT_THAT(Refusal(test / std::string(300, 'x')), HasSubstr("cannot be written: File name too long"));
  EXPECT_THAT(Refusal("/proc/new"), HasSubstr("no file can be made in /proc"));
  fs::create_symlink("not-mounted/new", test / "link");
  EXPECT_THAT(Refusal(test / "link"), HasSubstr("not-mounted is no folder"));
}

TEST(NewFile, WhatAppearsMeanwhileIsKept) {
  const TestFolder test;
  const fs::path path = test / "out";
  KeepIfItAppears(path);
  {
    AtomicFile file(path);
    file.Write("mine");
    WriteFile(test / "other", "another's");
    fs::rename(test / "other", path);
    try {
      file.Commit();
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("appeared while this command worked"));
    }
  }
  EXPECT_EQ(ReadFile(path), "another's");
  EXPECT_EQ(std::distance(fs::directory_iterator(test.path()), fs::directory_iterator()), 1);
}

TEST(NewFile, AProcessReplacesItsOwn) {
  const TestFolder test;
  fs::create_directory_symlink(test.path(), test / "same");
  KeepIfItAppears(test / "same" / "new" / "out");
  WriteFile(test / "new" / "out", "first");
  WriteFile(test / "new" / "out", "second");
  EXPECT_EQ(ReadFile(test / "new" / "out"), "second");
}

}  // namespace
}  // namespace longspan
