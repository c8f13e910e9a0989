#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/testing/shared_data.h"
#include "base/testing/temporary_folder.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

GgufMetadata EveryType() {
  GgufMetadata m;
  m.Set("u8", std::uint8_t{200});
  m.Set("i8", std::int8_t{-100});
  m.Set("u16", std::uint16_t{60000});
  m.Set("i16", std::int16_t{-30000});
  m.Set("u32", std::uint32_t{4000000000});
  m.Set("i32", std::int32_t{-2000000000});
  m.Set("f32", 1.5f);
  m.Set("bool", true);
  m.Set("string", std::string("h\0i", 3));
  m.Set("u64", std::uint64_t{1} << 63);
  m.Set("i64", std::int64_t{-1} << 62);
  m.Set("f64", 0.1);
  m.Set("a.u8", std::vector<std::uint8_t>{1, 2});
  m.Set("a.i8", std::vector<std::int8_t>{-1});
  m.Set("a.u16", std::vector<std::uint16_t>{1, 2});
  m.Set("a.i16", std::vector<std::int16_t>{1, -2});
  m.Set("a.u32", std::vector<std::uint32_t>{});
  m.Set("a.i32", std::vector<std::int32_t>{1, 2, -3});
  m.Set("a.f32", std::vector<float>{0.5f});
  m.Set("a.bool", std::vector<bool>{true, false, true});
  m.Set("a.string", std::vector<std::string>{"", "one", "\xe2\x96\x81two"});
  m.Set("a.u64", std::vector<std::uint64_t>{7});
  m.Set("a.i64", std::vector<std::int64_t>{-7});
  m.Set("a.f64", std::vector<double>{-0.25});
  m.Set("nested", std::vector<GgufArray>{
                      {std::vector<std::int32_t>{1}}, {GgufStrings({"x"})}, {std::vector<GgufArray>{}}});
  return m;
}

void WriteSample(const std::filesystem::path& path, GgufMetadata metadata = EveryType()) {
  GgufWriter writer(path, std::move(metadata));
  writer.Declare("first", Type::kF32, {3});
  writer.Declare("second", Type::kQ8_0, {2, 32});
  const std::vector<float> first{1, 2, 3};
  const std::vector<std::byte> second(68, std::byte{0x5a});
  writer.Write("first", std::as_bytes(std::span(first)));
  writer.Write("second", second);
  writer.Commit();
}

// Bytes by hand, for files that no writer would write.
struct Bytes {
  std::string text;
  template <class T>
  Bytes& Put(T value) {
    text.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Bytes& String(std::string_view s) {
    Put(std::uint64_t{s.size()});
    text += s;
    return *this;
  }
  static Bytes Header(std::uint64_t tensors, std::uint64_t entries, std::uint32_t version = 3) {
    Bytes bytes{"GGUF"};
    return bytes.Put(version).Put(tensors).Put(entries);
  }
  Bytes& TensorInfo(std::string_view name, std::vector<std::uint64_t> dims, std::uint32_t type,
                    std::uint64_t offset) {
    String(name).Put(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t d : dims) Put(d);
    return Put(type).Put(offset);
  }
  Bytes& Data(std::size_t size) {
    text.resize((text.size() + 31) / 32 * 32 + size);
    return *this;
  }
};

// The error that opening `text` gives; empty where it opens.
std::string OpenError(const std::string& text, ErrorKind kind = ErrorKind::kInvalidFile) {
  const TestFolder folder;
  const auto path = folder / "hostile";
  std::ofstream(path, std::ios::binary) << text;
  std::string message;
  try {
    GgufFile::Open(path);
  } catch (const Error& error) {
    message = error.what();
    EXPECT_EQ(error.kind(), kind) << message;
    EXPECT_THAT(message, HasSubstr(path.string()));
  }
  return message;
}

TEST(Gguf, PiecesMakeTheSameFile) {
  const TestFolder folder;
  const auto whole = folder / "whole", pieces = folder / "pieces";
  WriteSample(whole);
  GgufWriter writer(pieces, EveryType());
  writer.Declare("first", Type::kF32, {3});
  writer.Declare("second", Type::kQ8_0, {2, 32});
  const std::vector<float> first{1, 2, 3};
  const std::vector<std::byte> second(68, std::byte{0x5a});
  const auto bytes = std::as_bytes(std::span(first));
  writer.Append("first", bytes.first(5));
  EXPECT_THROW(writer.Append("second", second), Error);  // not its turn
  EXPECT_THROW(writer.Append("first", bytes), Error);    // more than is left
  writer.Append("first", bytes.subspan(5));
  writer.Append("second", std::span(second).first(60));
  EXPECT_THROW(writer.Commit(), Error);
  writer.Append("second", std::span(second).subspan(60));
  writer.Commit();
  EXPECT_EQ(ReadFile(pieces), ReadFile(whole));
}

TEST(Gguf, RoundTripsEveryMetadataType) {
  const TestFolder folder;
  const auto path = folder / "types";
  WriteSample(path);
  const auto file = GgufFile::Open(path);
  const GgufMetadata expected = EveryType();
  ASSERT_EQ(file->metadata().size(), expected.size());
  auto it = file->metadata().begin();
  for (const auto& [key, value] : expected) {
    EXPECT_EQ(it->first, key);
    EXPECT_EQ(it->second.type(), value.type()) << key;
    EXPECT_TRUE(it->second == value) << key << ": " << Summary(it->second);
    ++it;
  }
}

TEST(Gguf, TensorsAreAlignedViews) {
  for (const std::uint32_t alignment : {8u, 32u, 4096u}) {
    const TestFolder folder;
    const auto path = folder / "alignment";
    GgufMetadata metadata;
    metadata.Set("general.alignment", alignment);
    WriteSample(path, metadata);
    const auto file = GgufFile::Open(path);
    ASSERT_EQ(file->tensors().size(), 2u);
    EXPECT_EQ(file->alignment(), alignment);
    for (const GgufTensor& tensor : file->tensors()) EXPECT_EQ(tensor.offset % alignment, 0u);
    const Tensor first = file->LoadTensor("first");
    EXPECT_THAT(first.floats(), ::testing::ElementsAre(1, 2, 3));
    const GgufTensor* second = file->FindTensor("second");
    ASSERT_NE(second, nullptr);
    EXPECT_THAT(second->shape, ::testing::ElementsAre(2, 32));
    EXPECT_EQ(second->bytes.size(), 68u);
    EXPECT_EQ(second->bytes.back(), std::byte{0x5a});
    EXPECT_TRUE(file->LoadTensor("third").empty());
  }
}

// Each tensor's name was once compared with all before it, which took more than a minute.
TEST(Gguf, ManyTensorsAreWrittenAndReadInLinearTime) {
  constexpr int kTensors = 100000;
  const TestFolder folder;
  const auto begin = std::chrono::steady_clock::now();
  GgufWriter writer(folder / "many.gguf", {});
  const auto name = [](int i) { return fmt::format("blk.{}.attn_q.weight", i); };
  for (int i = 0; i < kTensors; ++i) writer.Declare(name(i), Type::kF32, {1});
  EXPECT_THROW(writer.Declare(name(kTensors / 2), Type::kF32, {1}), Error);
  for (int i = 0; i < kTensors; ++i) writer.Write(name(i), std::vector<std::byte>(4));
  writer.Commit();
  EXPECT_EQ(GgufFile::Open(folder / "many.gguf")->tensors().size(), std::size_t{kTensors});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

TEST(Gguf, GettersConvertWidthsAndNameTheKey) {
  const GgufMetadata m = EveryType();
  EXPECT_EQ(m.Get<std::int64_t>("u8"), 200);
  EXPECT_EQ(m.Get<std::uint64_t>("u64"), std::uint64_t{1} << 63);
  EXPECT_EQ(m.Get<double>("f32"), 1.5);
  EXPECT_EQ(m.Get<std::string>("string").size(), 3u);
  EXPECT_EQ(m.Get<std::vector<std::int64_t>>("a.i32"), (std::vector<std::int64_t>{1, 2, -3}));
  EXPECT_EQ(m.Get<std::vector<bool>>("a.bool"), (std::vector<bool>{true, false, true}));
  EXPECT_EQ(m.Get<std::span<const std::string_view>>("a.string")[1], "one");
  EXPECT_EQ(m.Find<int>("absent"), std::nullopt);
  EXPECT_THROW(m.Get<std::int8_t>("u8"), Error);
  EXPECT_THROW(m.Get<std::int64_t>("u64"), Error);
  EXPECT_THROW(m.Get<std::int64_t>("bool"), Error);
  EXPECT_THROW(m.Get<std::vector<std::uint32_t>>("a.i32"), Error);
  try {
    m.Get<int>("absent");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("absent"));
  }
}

TEST(Gguf, SetReplacesAndEraseKeepsOrder) {
  GgufMetadata m;
  m.Set("a", 1);
  m.Set("b", 2);
  m.Set("c", 3);
  m.Set("a", 4);
  EXPECT_TRUE(m.Erase("b"));
  EXPECT_FALSE(m.Erase("b"));
  EXPECT_EQ(m.size(), 2u);
  EXPECT_EQ(m.Get<int>("a"), 4);
  EXPECT_EQ(m.Get<int>("c"), 3);
  EXPECT_EQ(m.begin()->first, "a");
}

TEST(Gguf, RefusesWhatItCannotRead) {
  EXPECT_THAT(OpenError(""), HasSubstr("is empty"));
  EXPECT_THAT(OpenError("GGML1234"), HasSubstr("not a GGUF file"));
  EXPECT_THAT(OpenError(Bytes::Header(0, 0, 1).text, ErrorKind::kUnsupported), HasSubstr("version 1"));
  EXPECT_THAT(OpenError(Bytes::Header(0, 0, 0x03000000).text, ErrorKind::kUnsupported),
              HasSubstr("big-endian"));
  EXPECT_EQ(OpenError(Bytes::Header(0, 0, 2).text), "");
}

TEST(Gguf, RefusesHugeCountsAtOnce) {
  constexpr std::uint64_t kHuge[] = {std::uint64_t{1} << 40, ~std::uint64_t{0}};
  for (const std::uint64_t n : kHuge) {
    EXPECT_THAT(OpenError(Bytes::Header(n, 0).text), HasSubstr("tensors"));
    EXPECT_THAT(OpenError(Bytes::Header(0, n).text), HasSubstr("metadata"));
    EXPECT_NE(OpenError(Bytes::Header(0, 1).Put(n).Data(64).text), "");                      // key
    EXPECT_NE(OpenError(Bytes::Header(0, 1).String("k").Put(8u).Put(n).Data(64).text), "");  // string
    for (std::uint32_t type = 0; type < kGgufTypes; ++type) {
      EXPECT_NE(OpenError(Bytes::Header(0, 1).String("k").Put(9u).Put(type).Put(n).Data(64).text), "")
          << type;
    }
    EXPECT_NE(OpenError(Bytes::Header(1, 0).TensorInfo("t", {n}, 0, 0).Data(64).text), "");
    EXPECT_NE(
        OpenError(
            Bytes::Header(1, 0).TensorInfo("t", {1 << 20, 1 << 20, 1 << 20, 1 << 20}, 0, 0).Data(64).text),
        "");
    EXPECT_NE(OpenError(Bytes::Header(1, 0).TensorInfo("t", {4}, 0, n & ~31ull).Data(64).text), "");
  }
}

TEST(Gguf, RefusesBadMetadata) {
  EXPECT_THAT(OpenError(Bytes::Header(0, 1).String("k").Put(13u).Put(0ull).text), HasSubstr("value type 13"));
  EXPECT_THAT(OpenError(Bytes::Header(0, 1).String("k").Put(7u).Put(std::uint8_t{2}).text),
              HasSubstr("bool"));
  const auto entry = [](Bytes b) { return b.String("k").Put(0u).Put(std::uint8_t{1}); };
  EXPECT_THAT(OpenError(entry(entry(Bytes::Header(0, 2))).text), HasSubstr("twice"));
  for (const std::uint32_t alignment : {0u, 1u, 4u, 33u, 1u << 30}) {
    EXPECT_THAT(OpenError(Bytes::Header(0, 1).String("general.alignment").Put(4u).Put(alignment).text),
                HasSubstr("general.alignment"));
  }
  Bytes deep = Bytes::Header(0, 1).String("k").Put(9u);
  for (int i = 0; i < 1000; ++i) deep.Put(9u).Put(std::uint64_t{1});
  EXPECT_THAT(OpenError(deep.text), HasSubstr("nested"));
}

TEST(Gguf, RefusesBadTensors) {
  const auto one = [](std::vector<std::uint64_t> dims, std::uint32_t type, std::uint64_t offset) {
    return OpenError(Bytes::Header(1, 0).TensorInfo("t", std::move(dims), type, offset).Data(64).text);
  };
  EXPECT_EQ(one({16}, 0, 0), "");
  EXPECT_EQ(one({8}, 0, 32), "");
  EXPECT_THAT(one({17}, 0, 0), HasSubstr("beyond"));
  EXPECT_THAT(one({16}, 0, 32), HasSubstr("beyond"));
  EXPECT_THAT(one({4}, 0, 4), HasSubstr("aligned"));
  EXPECT_THAT(one({4}, 4, 0), HasSubstr("unknown type 4"));
  EXPECT_THAT(one({33}, 8, 0), HasSubstr("whole number"));
  EXPECT_THAT(one({0}, 0, 0), HasSubstr("dimension of 0"));
  EXPECT_THAT(one({}, 0, 0), HasSubstr("0 dimensions"));
  EXPECT_THAT(one({1, 1, 1, 1, 1}, 0, 0), HasSubstr("5 dimensions"));
  const auto two = [](std::string_view name, std::uint64_t offset) {
    return OpenError(
        Bytes::Header(2, 0).TensorInfo("a", {16}, 0, 0).TensorInfo(name, {8}, 0, offset).Data(96).text);
  };
  EXPECT_EQ(two("b", 64), "");
  EXPECT_THAT(two("b", 32), HasSubstr("overlap"));
  EXPECT_THAT(two("a", 64), HasSubstr("twice"));
}

TEST(Gguf, SurvivesTruncationAnywhere) {
  const TestFolder folder;
  const auto path = folder / "whole";
  WriteSample(path);
  const std::string whole = ReadFile(path);
  // The last tensor's padding may be missing; everything else may not.
  const std::size_t needed = GgufFile::Open(path)->FindTensor("second")->offset + 68;
  for (std::size_t size = 0; size < needed; ++size) EXPECT_NE(OpenError(whole.substr(0, size)), "") << size;
  EXPECT_EQ(OpenError(whole.substr(0, needed)), "");
}

TEST(Gguf, SurvivesFlippedBytes) {
  const TestFolder folder;
  const auto path = folder / "flip";
  WriteSample(path);
  const std::string whole = ReadFile(path);
  Random random(1, 0, RandomPurpose::kTest);
  for (int trial = 0; trial < 3000; ++trial) {
    std::string bent = whole;
    for (std::int64_t flips = 1 + random.Below(4); flips > 0; --flips) {
      bent[random.Below(static_cast<std::int64_t>(bent.size()))] = static_cast<char>(random.Below(256));
    }
    std::ofstream(path, std::ios::binary) << bent;
    try {
      const auto file = GgufFile::Open(path);
      for (const auto& [key, value] : file->metadata()) Summary(value);
      for (const GgufTensor& tensor : file->tensors()) {
        // Touch both ends of every view.
        EXPECT_GE(std::to_integer<int>(tensor.bytes.front()) + std::to_integer<int>(tensor.bytes.back()), 0);
      }
    } catch (const Error& error) {
      EXPECT_NE(error.kind(), ErrorKind::kInternal) << error.what();
    }
  }
}

TEST(Gguf, ReadsRealVocabularies) {
  const auto bpe = SharedData("models/ggml-vocab-llama-bpe.gguf");
  const auto spm = SharedData("models/ggml-vocab-llama-spm.gguf");
  if (!bpe || !spm) GTEST_SKIP() << "shared vocabularies are absent";
  const auto llama3 = GgufFile::Open(*bpe);
  EXPECT_EQ(llama3->Get<std::string>("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(llama3->Get<std::span<const std::string_view>>("tokenizer.ggml.tokens").size(), 128256u);
  EXPECT_EQ(llama3->Get<std::int64_t>("llama.context_length"), 8192);
  const auto llama2 = GgufFile::Open(*spm);
  EXPECT_EQ(llama2->Get<std::string>("tokenizer.ggml.model"), "llama");
  EXPECT_EQ(llama2->Get<std::vector<float>>("tokenizer.ggml.scores").size(), 32000u);
}

}  // namespace
}  // namespace longspan
