#include "runs/event_file.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"
#include "runs/crc32c.h"

namespace longspan {
namespace {

// A reader of its own: what a record holds, once its checksums are right.
std::vector<std::string> Records(const std::string& file) {
  std::vector<std::string> records;
  const auto masked = [](std::string_view bytes) { return std::rotr(Crc32c(bytes), 15) + 0xa282ead8u; };
  for (std::size_t at = 0; at < file.size();) {
    std::uint64_t length = 0;
    std::uint32_t of_length = 0, of_data = 0;
    std::memcpy(&length, &file[at], 8);
    std::memcpy(&of_length, &file[at + 8], 4);
    EXPECT_EQ(of_length, masked(std::string_view(file).substr(at, 8)));
    records.push_back(file.substr(at + 12, length));
    std::memcpy(&of_data, &file[at + 12 + length], 4);
    EXPECT_EQ(of_data, masked(records.back()));
    at += 12 + length + 4;
  }
  return records;
}

std::string Bytes(std::initializer_list<int> bytes) {
  std::string text;
  for (const int byte : bytes) text += static_cast<char>(byte);
  return text;
}

class EventFileTest : public ::testing::Test {
 protected:
  TestFolder folder_;
};

// The bytes that TensorBoard's own writer makes of these events.
TEST_F(EventFileTest, RecordsAreTensorBoards) {
  EventFile file(folder_ / "runs", 1.5);
  const Scalar scalars[] = {{"train/loss", 0.5}, {"lr", 2}};
  file.AddScalars(300, 2.0, scalars);
  file.AddStart(7, 2.0);
  file.AddText(0, 2.0, "args", "x");
  const auto records = Records(ReadFile(file.path()));
  ASSERT_EQ(records.size(), 4u);
  const std::string one_and_a_half = Bytes({0, 0, 0, 0, 0, 0, 0xf8, 0x3f}),
                    two = Bytes({0, 0, 0, 0, 0, 0, 0, 0x40});
  EXPECT_EQ(records[0], "\x09" + one_and_a_half + "\x1a\x0d" + "brain.Event:2");
  const std::string loss = "\x0a\x0atrain/loss" + Bytes({0x15, 0, 0, 0, 0x3f});
  const std::string rate = std::string("\x0a\x02") + "lr" + Bytes({0x15, 0, 0, 0, 0x40});
  EXPECT_EQ(records[1], "\x09" + two + Bytes({0x10, 0xac, 0x02, 0x2a, 30}) + Bytes({0x0a, 17}) + loss +
                            Bytes({0x0a, 9}) + rate);
  EXPECT_EQ(records[2], "\x09" + two + Bytes({0x10, 7, 0x3a, 2, 0x08, 1}));
  EXPECT_THAT(records[3], testing::AllOf(testing::HasSubstr("args"), testing::HasSubstr("text"),
                                         testing::HasSubstr(Bytes({0x42, 1}) + "x")));
}

TEST_F(EventFileTest, EachFileHasANameOfItsOwn) {
  EventFile first(folder_.path(), 1.5), second(folder_.path(), 1.5);
  EXPECT_NE(first.path(), second.path());
  EXPECT_THAT(first.path().filename().string(), testing::StartsWith("events.out.tfevents.0000000001."));
}

TEST_F(EventFileTest, EveryEventIsOnDiskAtOnce) {
  EventFile file(folder_.path(), 1);
  for (int step = 0; step < 5; ++step) {
    const Scalar loss{"train/loss", std::nan("")};
    file.AddScalars(step, 1, {&loss, 1});
    EXPECT_EQ(std::ssize(Records(ReadFile(file.path()))), step + 2);
  }
}

TEST_F(EventFileTest, AFolderThatCannotBeWrittenIsAnError) {
  WriteFile(folder_ / "file", "");
  EXPECT_THROW(EventFile(folder_ / "file", 1), Error);
}

}  // namespace
}  // namespace longspan
