#include "data/input_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"
#include "data/testing/compressed.h"

namespace longspan {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Everything that a stream gives before it ends or fails.
std::string Drain(InputStream& stream, std::size_t piece = 1000) {
  std::string text, buffer(piece, '\0');
  while (const std::size_t n = stream.Read(buffer)) text.append(buffer, 0, n);
  return text;
}

std::string ReadAll(const std::filesystem::path& path, std::size_t piece = 1000) {
  return Drain(*InputStream::Open(path), piece);
}

// Text that compresses, but not to nothing.
std::string Numbers(int count) {
  std::string text;
  for (std::int64_t i = 0; i < count; ++i) text += std::to_string(i * 2'654'435'761 % 4'294'967'296) + "\n";
  return text;
}

TEST(InputStream, ContentsDecideRatherThanNames) {
  const TestFolder folder;
  const std::string text = Numbers(20'000);
  for (const std::size_t piece : {1u, 7u, 1000u, 1'000'000u}) {
    WriteFile(folder / "zstd", Zstd(text));
    WriteFile(folder / "gzip", Gzip(text));
    WriteFile(folder / "plain", text);
    for (const char* name : {"zstd", "gzip", "plain"}) EXPECT_EQ(ReadAll(folder / name, piece), text) << name;
  }
  WriteFile(folder / "tiny", "a");
  EXPECT_EQ(ReadAll(folder / "tiny"), "a");
  WriteFile(folder / "empty.gz", "");
  EXPECT_EQ(ReadAll(folder / "empty.gz"), "");
}

TEST(InputStream, ReadsFramesAndMembersOneAfterTheOther) {
  const TestFolder folder;
  const std::string skippable("\x5A\x2A\x4D\x18\x03\0\0\0abc", 11);
  WriteFile(folder / "a.zst", skippable + Zstd("one ") + Zstd("") + skippable + Zstd("two"));
  EXPECT_EQ(ReadAll(folder / "a.zst"), "one two");
  WriteFile(folder / "a.gz", Gzip("one ") + Gzip("") + Gzip("two") + std::string(600, '\0'));
  EXPECT_EQ(ReadAll(folder / "a.gz"), "one two");
}

TEST(InputStream, SaysThatAFileIsNotWhatItsNameSays) {
  const TestFolder folder;
  for (const char* name : {"a.zst", "a.gz"}) {
    WriteFile(folder / name, "this is no compressed stream");
    EXPECT_EQ(KindOf([&] { ReadAll(folder / name); }), ErrorKind::kInvalidFile) << name;
  }
}

// What comes before the damage is given out, and then an error.
TEST(InputStream, GivesOutWhatComesBeforeDamage) {
  const TestFolder folder;
  const std::string text = Numbers(100'000);  // several blocks of zstd's
  for (const std::string& packed : {Zstd(text), Gzip(text)}) {
    for (std::size_t length = 5; length < packed.size(); length += packed.size() / 12) {
      for (const bool cut : {true, false}) {
        std::string damaged = packed.substr(0, length);
        if (!cut) damaged += std::string(300, '\xA5');
        WriteFile(folder / "a", damaged);
        const auto stream = InputStream::Open(folder / "a");
        std::string read, buffer(512, '\0');
        EXPECT_THROW(
            {
              while (const std::size_t n = stream->Read(buffer)) read.append(buffer, 0, n);
            },
            Error)
            << length;
        if (cut) {
          EXPECT_THAT(text, StartsWith(read)) << length;
        }
        if (length > packed.size() / 2) {
          EXPECT_GT(read.size(), text.size() / 8) << length;
        }
      }
    }
  }
}

TEST(InputStream, ReadsLongWindowsUpToALimit) {
  const TestFolder folder;
  WriteFile(folder / "a.zst", ZstdWithWindow("far back", 31));
  EXPECT_EQ(ReadAll(folder / "a.zst"), "far back");
  try {
    Drain(*InputStream::Open(folder / "a.zst", 27));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("2^27"));
  }
}

}  // namespace
}  // namespace longspan
