#include "formats/gguf_shards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"
#include "formats/gguf_writer.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Five tensors of 400 bytes, one of 4,000.
void WriteWhole(const std::filesystem::path& path) {
  GgufMetadata metadata;
  metadata.Set("general.architecture", "test");
  metadata.Set("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"});
  GgufWriter writer(path, metadata);
  const auto size = [](int i) { return std::size_t{i == 3 ? 1000u : 100u}; };
  for (int i = 0; i < 6; ++i) {
    writer.Declare(fmt::format("t{}", i), Type::kF32, {static_cast<std::int64_t>(size(i))});
  }
  for (int i = 0; i < 6; ++i) {
    const std::vector<float> values(size(i), static_cast<float>(i));
    writer.Write(fmt::format("t{}", i), std::as_bytes(std::span(values)));
  }
  writer.Commit();
}

std::string OpenError(const std::filesystem::path& path) {
  return ErrorOf([&] { GgufFile::Open(path); });
}

// Writes a shard of one tensor. Its metadata say what the arguments say.
void WriteShard(const std::filesystem::path& path, int number, int count, int tensors,
                const std::string& name) {
  GgufMetadata metadata;
  metadata.Set("split.no", static_cast<std::uint16_t>(number));
  metadata.Set("split.count", static_cast<std::uint16_t>(count));
  metadata.Set("split.tensors.count", std::int32_t{tensors});
  GgufWriter writer(path, metadata);
  writer.Declare(name, Type::kF32, {1});
  writer.Write(name, std::vector<std::byte>(4));
  writer.Commit();
}

TEST(GgufShards, AModelIsAllOfItsFiles) {
  EXPECT_THAT(GgufShardFiles("a/m-00001-of-00003.gguf"),
              ElementsAre("a/m-00001-of-00003.gguf", "a/m-00002-of-00003.gguf", "a/m-00003-of-00003.gguf"));
  EXPECT_THAT(GgufShardFiles("a/m.gguf"), ElementsAre("a/m.gguf"));
}

TEST(GgufShards, NamesAreTheEcosystems) {
  EXPECT_EQ((GgufShardName{"model", 3, 12}.FileName()), "model-00003-of-00012.gguf");
  const auto name = GgufShardName::Parse("a-b-00003-of-00012.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->stem, "a-b");
  EXPECT_EQ(name->number, 3);
  EXPECT_EQ(name->count, 12);
  for (const char* other :
       {"model.gguf", "model-00003-of-00002.gguf", "model-00000-of-00002.gguf", "-00001-of-00002.gguf",
        "model-0001-of-00002.gguf", "model-00001-of-00002.bin", "model--0001-of-00002.gguf"}) {
    EXPECT_FALSE(GgufShardName::Parse(other)) << other;
  }
}

TEST(GgufShards, SplitAndJoinedIsTheSameFile) {
  const TestFolder folder;
  WriteWhole(folder / "whole.gguf");
  const auto names =
      WriteGgufShards(*GgufFile::Open(folder / "whole.gguf"), folder.path(), "m", 900, NoProgress());
  // Two small tensors fit a shard; the large one has a shard to itself.
  EXPECT_THAT(names, ElementsAre("m-00001-of-00004.gguf", "m-00002-of-00004.gguf", "m-00003-of-00004.gguf",
                                 "m-00004-of-00004.gguf"));
  const auto joined = GgufFile::Open(folder / names.front());
  EXPECT_EQ(joined->tensors().size(), 6u);
  EXPECT_EQ(joined->LoadTensor("t5").floats()[99], 5.0f);
  EXPECT_FALSE(joined->metadata().Contains("split.count"));
  WriteGgufFile(*joined, folder / "again.gguf", NoProgress());
  EXPECT_EQ(ReadFile(folder / "again.gguf"), ReadFile(folder / "whole.gguf"));
}

TEST(GgufShards, TensorsOutliveTheFile) {
  const TestFolder folder;
  WriteWhole(folder / "whole.gguf");
  WriteGgufShards(*GgufFile::Open(folder / "whole.gguf"), folder.path(), "m", 900, NoProgress());
  const Tensor tensor = GgufFile::Open(folder / "m-00001-of-00004.gguf")->LoadTensor("t5");
  EXPECT_EQ(tensor.floats()[0], 5.0f);
}

TEST(GgufShards, RefusesWhatDoesNotBelongTogether) {
  const TestFolder folder;
  const auto first = folder / "m-00001-of-00002.gguf", second = folder / "m-00002-of-00002.gguf";
  WriteShard(first, 0, 2, 2, "a");
  EXPECT_THAT(OpenError(first), HasSubstr("m-00002-of-00002.gguf"));  // it is missing
  WriteShard(second, 1, 2, 2, "b");
  EXPECT_EQ(OpenError(first), "");
  EXPECT_THAT(OpenError(second), HasSubstr("name the first, m-00001-of-00002.gguf"));
  WriteShard(second, 1, 3, 2, "b");
  EXPECT_THAT(OpenError(first), HasSubstr("shard 2 of 2"));
  WriteShard(second, 0, 2, 2, "b");
  EXPECT_THAT(OpenError(first), HasSubstr("shard 2 of 2"));
  WriteShard(second, 1, 2, 2, "a");
  EXPECT_THAT(OpenError(first), HasSubstr("earlier shard"));
  WriteShard(second, 1, 2, 3, "b");
  WriteShard(first, 0, 2, 3, "a");
  EXPECT_THAT(OpenError(first), HasSubstr("split.tensors.count"));
  WriteShard(folder / "renamed.gguf", 0, 2, 2, "a");
  EXPECT_THAT(OpenError(folder / "renamed.gguf"), HasSubstr("-00001-of-00002.gguf"));
  WriteShard(folder / "one.gguf", 0, 1, 1, "a");  // one shard alone is a whole file and may have any name
  EXPECT_EQ(OpenError(folder / "one.gguf"), "");
}

}  // namespace
}  // namespace longspan
