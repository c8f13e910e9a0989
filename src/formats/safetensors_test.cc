#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/random.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

// A file with this header and `data` bytes behind it.
std::string Build(const std::string& header, std::size_t data) {
  const std::uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + header + std::string(data, '\1');
}

// The error that opening `text` and loading all its tensors gives; empty where there is none.
std::string OpenError(const std::string& text) {
  const TestFolder folder;
  const auto path = folder / "hostile";
  std::ofstream(path, std::ios::binary) << text;
  std::string message;
  try {
    const auto file = SafetensorsFile::Open(path);
    for (const SafetensorsEntry& entry : file->entries()) file->LoadTensor(entry.name);
  } catch (const Error& error) {
    message = error.what();
    EXPECT_NE(error.kind(), ErrorKind::kInternal) << message;
    EXPECT_THAT(message, HasSubstr(path.string()));
  }
  return message;
}

TEST(Safetensors, RoundTrips) {
  const TestFolder folder;
  const auto path = folder / "whole";
  const std::vector<float> floats{1, 2, 3, 4, 5, 6};
  const std::vector<std::uint16_t> halves{7, 8, 9};
  {
    SafetensorsWriter writer(path);
    writer.Declare("z.first", Type::kF32, {2, 3});
    writer.Declare("a.second", Type::kBF16, {3});
    writer.Write("z.first", std::as_bytes(std::span(floats)));
    writer.Write("a.second", std::as_bytes(std::span(halves)));
    writer.Commit();
  }
  const auto file = SafetensorsFile::Open(path);
  ASSERT_EQ(file->entries().size(), 2u);
  EXPECT_EQ(file->entries()[0].name, "z.first");
  EXPECT_EQ(file->metadata().at("format"), "pt");
  const Tensor first = file->LoadTensor("z.first");
  EXPECT_THAT(first.shape(), ::testing::ElementsAre(2, 3));
  EXPECT_THAT(first.floats(), ::testing::ElementsAreArray(floats));
  EXPECT_EQ(file->LoadTensor("a.second").type(), Type::kBF16);
  EXPECT_TRUE(file->LoadTensor("third").empty());
}

TEST(Safetensors, CopiesWhatIsNotAligned) {
  // The header has an odd length, so the data begin at an odd address.
  std::string header = R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  header.resize(header.size() + (header.size() % 2 == 0), ' ');
  EXPECT_EQ(OpenError(Build(header, 8)), "");
}

TEST(Safetensors, LoadsATensorWithoutElements) {
  // It begins where the data end, at an address that suits no type.
  const std::string header = R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},)"
                             R"("none":{"dtype":"F64","shape":[0,7],"data_offsets":[1,1]}})";
  EXPECT_EQ(OpenError(Build(header, 1)), "");
}

TEST(Safetensors, WriterKeepsToItsPlan) {
  const TestFolder folder;
  SafetensorsWriter writer(folder / "plan");
  writer.Declare("t", Type::kF32, {2});
  EXPECT_THROW(writer.Declare("q", Type::kQ8_0, {32}), Error);
  EXPECT_THROW(writer.Write("t", std::vector<std::byte>(4)), Error);
  EXPECT_THROW(writer.Commit(), Error);
}

TEST(Safetensors, RefusesHostileHeaders) {
  const auto one = [](const std::string& entry, std::size_t data = 8) {
    return OpenError(Build(R"({"t":)" + entry + "}", data));
  };
  EXPECT_EQ(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"), "");
  EXPECT_EQ(one(R"({"dtype":"I64","shape":[],"data_offsets":[0,8]})"), "");
  EXPECT_NE(OpenError(""), "");
  EXPECT_NE(OpenError(std::string(8, '\xff')), "");
  EXPECT_THAT(OpenError(Build("nonsense", 0)), HasSubstr("JSON"));
  EXPECT_THAT(OpenError(Build(std::string(100000, '['), 0)), HasSubstr("JSON"));
  EXPECT_THAT(OpenError(Build("[]", 0)), HasSubstr("object"));
  EXPECT_THAT(one("3"), HasSubstr("object"));
  EXPECT_THAT(one(R"({"shape":[2],"data_offsets":[0,8]})"), HasSubstr("dtype"));
  EXPECT_THAT(one(R"({"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]})"), HasSubstr("F8_E4M3"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), HasSubstr("dimension"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"), HasSubstr("12"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,8]})"),
              HasSubstr("overflows"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})"),
              HasSubstr("range"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), HasSubstr("bytes 8 to 0"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[4],"data_offsets":[0,16]})"), HasSubstr("of 8 bytes"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[2],"data_offsets":[4,12]})", 12),
              HasSubstr("belong to no tensor"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})", 12), HasSubstr("after the last"));
  const std::string entry = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  EXPECT_THAT(OpenError(Build(R"({"t":)" + entry + R"(,"t":)" + entry + "}", 8)), HasSubstr("twice"));
  EXPECT_THAT(OpenError(Build(R"({"t":)" + entry + R"(,"u":)" + entry + "}", 8)), HasSubstr("overlaps"));
}

// The header of 20,000 tensors once took half a minute. (100,000 of this size are 10 MB of header.)
TEST(Safetensors, ManyTensorsAreReadAndWrittenInLinearTime) {
  constexpr int kTensors = 100000;
  const TestFolder folder;
  const auto begin = std::chrono::steady_clock::now();
  {
    SafetensorsWriter writer(folder / "many");
    const auto name = [](int i) { return fmt::format("model.layers.{}.self_attn.q_proj.weight", i); };
    for (int i = 0; i < kTensors; ++i) writer.Declare(name(i), Type::kF16, {1});
    for (int i = 0; i < kTensors; ++i) writer.Write(name(i), std::vector<std::byte>(2));
    writer.Commit();
  }
  EXPECT_EQ(SafetensorsFile::Open(folder / "many")->entries().size(), std::size_t{kTensors});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

TEST(Safetensors, SurvivesTruncationAndFlippedBytes) {
  const std::string whole =
      Build(R"({"__metadata__":{"format":"pt"},"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
            R"("u":{"dtype":"F16","shape":[2,2],"data_offsets":[8,16]}})",
            16);
  ASSERT_EQ(OpenError(whole), "");
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(OpenError(whole.substr(0, size)), "") << size;
  Random random(2, 0, RandomPurpose::kTest);
  for (int trial = 0; trial < 3000; ++trial) {
    std::string bent = whole;
    const auto at = static_cast<std::size_t>(random.Below(static_cast<std::int64_t>(bent.size())));
    bent[at] = static_cast<char>(random.Below(256));
    OpenError(bent);
  }
}

}  // namespace
}  // namespace longspan
