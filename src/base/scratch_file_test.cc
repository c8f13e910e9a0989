#include "base/scratch_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(ScratchFile, GivesBackWhatWasAppendedAndLeavesNothing) {
  const TestFolder folder;
  {
    ScratchFile file(folder.path());
    file.Append(Bytes("first"));
    file.Append(Bytes("second"));
    EXPECT_EQ(file.size(), 11u);
    std::string text(6, ' ');
    file.Read(5, std::as_writable_bytes(std::span(text)));
    EXPECT_EQ(text, "second");
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(ScratchFile, MapsZerosBehindWhatWasAppended) {
  const TestFolder folder;
  ScratchFile file(folder.path());
  file.Append(Bytes("abc"));
  const std::span<std::byte> mapped = file.Map(100'000);
  ASSERT_EQ(mapped.size(), 100'000u);
  EXPECT_EQ(std::memcmp(mapped.data(), "abc\0\0", 5), 0);
  mapped.back() = std::byte{7};
  std::byte last{};
  file.Read(99'999, std::span(&last, 1));
  EXPECT_EQ(last, std::byte{7});
}

TEST(ScratchFile, SaysWhereItCannotBeMade) {
  EXPECT_EQ(KindOf([] { ScratchFile file("/no/such/folder"); }), ErrorKind::kIo);
}

}  // namespace
}  // namespace longspan
