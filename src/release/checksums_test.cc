#include "release/checksums.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "release/testing/sample_measurements.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// FIPS 180-2's own examples.
TEST(Sha256, MatchesTheStandard) {
  EXPECT_EQ(Sha256Text("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Text(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, StreamingEqualsOneGo) {
  TestFolder folder;
  const std::string text(3'000'001, 'x');
  WriteFile(folder / "big", text);
  EXPECT_EQ(Sha256File(folder / "big"), Sha256Text(text));
  EXPECT_THROW(Sha256File(folder / "absent"), Error);
}

TEST(Checksums, ListsSortedAndVerifies) {
  TestFolder folder;
  WriteFile(folder / "b.gguf", "abc");
  WriteFile(folder / "adapter/a.json", "{}");
  const std::string lines =
      ChecksumLines({{"b.gguf", Sha256Text("abc")}, {"adapter/a.json", Sha256Text("{}")}});
  EXPECT_EQ(lines, Sha256Text("{}") + "  adapter/a.json\n" + Sha256Text("abc") + "  b.gguf\n");
  WriteFile(folder / "SHA256SUMS", lines);
  EXPECT_THAT(VerifyChecksums(folder.path()), IsEmpty());

  WriteFile(folder / "b.gguf", "abd");
  std::filesystem::remove(folder / "adapter/a.json");
  const auto faults = VerifyChecksums(folder.path());
  ASSERT_THAT(faults, SizeIs(2));
  EXPECT_EQ(faults[0].what, "missing");
  EXPECT_EQ(faults[1].what, "differs");
}

TEST(Checksums, RefusesHostileLists) {
  TestFolder folder;
  for (const std::string& line : {Sha256Text("x") + "  ../outside", Sha256Text("x") + "  /etc/passwd",
                                  std::string("abc  short"), Sha256Text("x")}) {
    WriteFile(folder / "SHA256SUMS", line + "\n");
    EXPECT_THAT([&] { VerifyChecksums(folder.path()); },
                ::testing::ThrowsMessage<Error>(HasSubstr("SHA256SUMS:1:")));
  }
}

}  // namespace
}  // namespace longspan
