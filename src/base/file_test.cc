#include "base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "base/error.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(File, WritesReadsAndMaps) {
  const TestFolder folder;
  const auto path = folder / "new" / "a.bin";
  const std::string text(3 << 20, 'x');
  WriteFile(path, text);
  EXPECT_EQ(ReadFile(path), text);
  const auto mapped = MappedFile::Open(path);
  EXPECT_EQ(mapped->bytes().size(), text.size());
  EXPECT_EQ(std::to_integer<char>(mapped->bytes().back()), 'x');
}

TEST(File, ReleasedPagesAreReadAgain) {
  const TestFolder folder;
  const auto path = folder / "a.bin";
  WriteFile(path, std::string(1 << 20, 'x'));
  const auto mapped = MappedFile::Open(path);
  const auto piece = mapped->bytes().subspan(100, 500000);
  EXPECT_EQ(std::to_integer<char>(piece[70000]), 'x');
  mapped->Release(piece);
  EXPECT_EQ(std::to_integer<char>(piece[70000]), 'x');
  mapped->Release(piece.first(0));
}

TEST(File, UncommittedLeavesNothingAndKeepsTheOld) {
  const TestFolder folder;
  WriteFile(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.Write("new");
  }
  EXPECT_EQ(ReadFile(folder / "a"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

// The permissions of a file.
unsigned ModeOf(const fs::path& path) { return static_cast<unsigned>(fs::status(path).permissions()); }

TEST(File, TheUmaskHolds) {
  const TestFolder folder;
  for (const mode_t mask : {0022, 0077, 0002}) {
    const mode_t before = ::umask(mask);
    WriteFile(folder / std::to_string(mask), "text");
    ::umask(before);
    EXPECT_EQ(ModeOf(folder / std::to_string(mask)), 0666 & ~mask);
  }
}

TEST(File, AReplacedFileKeepsItsPermissions) {
  const TestFolder folder;
  for (const unsigned mode : {0600u, 0640u, 0755u}) {
    WriteFile(folder / "a", "old");
    fs::permissions(folder / "a", static_cast<fs::perms>(mode));
    WriteFile(folder / "a", "new");
    EXPECT_EQ(ModeOf(folder / "a"), mode);
  }
}

TEST(File, ALinkStaysAndItsTargetIsReplaced) {
  const TestFolder folder;
  fs::create_directory(folder / "disk");
  WriteFile(folder / "disk" / "model", "old");
  fs::create_symlink("disk/model", folder / "link");
  WriteFile(folder / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(ReadFile(folder / "disk" / "model"), "new");

  fs::create_symlink("disk/made", folder / "dangling");
  WriteFile(folder / "dangling", "made");
  EXPECT_TRUE(fs::is_symlink(folder / "dangling"));
  EXPECT_EQ(ReadFile(folder / "disk" / "made"), "made");

  fs::create_symlink("not-mounted/model", folder / "nowhere");
  EXPECT_THROW(WriteFile(folder / "nowhere", "text"), Error);
  EXPECT_FALSE(fs::exists(folder / "not-mounted"));
}

TEST(File, FoldersAndDevicesAreRefusedBeforeAnythingIsWritten) {
  const TestFolder folder;
  fs::create_directory(folder / "a");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  for (const fs::path& path : {folder / "a", folder / "a" / "", folder / "pipe", fs::path("/dev/null")}) {
    EXPECT_THROW(AtomicFile file(path), Error) << path;
  }
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST(File, ErrorsNameTheFile) {
  try {
    MappedFile::Open("/no/such/file");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    EXPECT_NE(std::string(error.what()).find("/no/such/file"), std::string::npos);
  }
  EXPECT_THROW(MappedFile::Open("/"), Error);
}

std::string MessageOf(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    return error.what();
  }
  return "";
}

// None of these waits for a writer.
TEST(File, OnlyRegularFilesAreMapped) {
  const TestFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const auto map = [](const fs::path& path) { return [path] { MappedFile::Open(path); }; };
  EXPECT_THAT(MessageOf(map(folder / "pipe")), HasSubstr("pipe: is a pipe, expected a regular file; save"));
  EXPECT_THAT(MessageOf(map("/dev/null")), HasSubstr("/dev/null: is a device"));
  EXPECT_THAT(MessageOf(map(folder.path())), HasSubstr("is a folder, expected a regular file"));
  EXPECT_THAT(MessageOf([&] { ReadFile(folder.path()); }), HasSubstr("is a folder"));
}

TEST(File, ATextMayComeFromAPipe) {
  const TestFolder folder;
  const fs::path pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(MessageOf([&] { ReadFile(pipe); }), HasSubstr("a pipe that nothing was written to"));
  const std::string text(300'000, 'x');  // more than a pipe holds
  const auto through_pipe = [&](std::uint64_t limit) {
    const int writer = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);
    std::jthread thread([&, writer] {
      for (std::size_t done = 0; done < text.size();) {
        const ssize_t n = ::write(writer, text.data() + done, text.size() - done);
        if (n <= 0) break;
        done += static_cast<std::size_t>(n);
      }
      ::close(writer);
    });
    return ReadFile(pipe, limit);
  };
  EXPECT_EQ(through_pipe(text.size()), text);
  EXPECT_EQ(ReadFile("/dev/null"), "");
  EXPECT_THAT(MessageOf([&] { ReadFile("/dev/zero", 1000); }), HasSubstr("expected at most"));
}

TEST(File, FreeSpaceIsCheckedWithoutWriting) {
  const TestFolder folder;
  EXPECT_NO_THROW(CheckFreeSpace(folder / "a", 1));
  try {
    CheckFreeSpace(folder / "a", std::uint64_t{1} << 62);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    EXPECT_NE(std::string(error.what()).find("4611686018.43 GB are needed"), std::string::npos)
        << error.what();
  }
  EXPECT_THROW(CheckFreeSpace(folder / "none" / "a", 1), Error);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

// A disk on which little is free: proc reports none at all.
TEST(File, SmallSizesAreNotRoundedToNothing) {
  EXPECT_THAT(MessageOf([] { CheckFreeSpace("/proc/a", 512); }),
              HasSubstr("512 bytes are needed, 0 bytes are"));
  EXPECT_THAT(MessageOf([] { CheckFreeSpace("/proc/a", 2'500'000); }), HasSubstr("2.50 MB are needed"));
}

TEST(File, EmptyFileMaps) {
  const TestFolder folder;
  const auto path = folder / "empty";
  WriteFile(path, "");
  EXPECT_TRUE(MappedFile::Open(path)->bytes().empty());
}

}  // namespace
}  // namespace longspan
