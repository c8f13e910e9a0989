#include "convert/hf_card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/temporary_folder.h"
#include "convert/testing/small_folders.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Strings = std::vector<std::string>;
using namespace testing_convert;

constexpr const char* kCard = R"(---
license: other
license_name: llama3
license_link: LICENSE
language:
- en
- no
tags: [long-context, pose]
pipeline_tag: text-generation
base_model: meta-llama/Meta-Llama-3-8B
datasets:
- togethercomputer/RedPajama-Data-1T
- https://example.org/books
---
# A model
)";

struct Listener : Progress {
  std::string heard;
  void Message(std::string_view line) override { heard = line; }
};

TEST(HfCard, ReadsTheFrontMatter) {
  const TestFolder folder;
  WriteFile(folder / "README.md", kCard);
  WriteFile(folder / "generation_config.json",
            R"({"temperature": 0.6, "top_p": 0.9, "top_k": 50, "eos_token_id": [1, 2]})");
  GgufMetadata m;
  ReadHfCard(folder.path(), m, NoProgress());
  EXPECT_EQ(m.Get<std::string>("general.license"), "other");
  EXPECT_EQ(m.Get<std::string>("general.license.name"), "llama3");
  EXPECT_THAT(m.Get<Strings>("general.languages"), ElementsAre("en", "no"));
  EXPECT_THAT(m.Get<Strings>("general.tags"), ElementsAre("long-context", "pose", "text-generation"));
  EXPECT_EQ(m.Get<std::uint32_t>("general.base_model.count"), 1u);
  EXPECT_EQ(m.Get<std::string>("general.base_model.0.name"), "Meta-Llama-3-8B");
  EXPECT_EQ(m.Get<std::string>("general.base_model.0.organization"), "meta-llama");
  EXPECT_EQ(m.Get<std::string>("general.base_model.0.repo_url"),
            "https://huggingface.co/meta-llama/Meta-Llama-3-8B");
  EXPECT_EQ(m.Get<std::uint32_t>("general.dataset.count"), 2u);
  EXPECT_EQ(m.Get<std::string>("general.dataset.1.repo_url"), "https://example.org/books");
  EXPECT_EQ(m.Get<float>("general.sampling.temp"), 0.6f);
  EXPECT_EQ(m.Get<std::int32_t>("general.sampling.top_k"), 50);
}

TEST(HfCard, ComesBack) {
  const TestFolder folder;
  WriteFile(folder / "README.md", kCard);
  WriteFile(folder / "generation_config.json", R"({"temperature": 0.6, "top_p": 0.9})");
  GgufMetadata before, after;
  ReadHfCard(folder.path(), before, NoProgress());
  std::filesystem::create_directory(folder / "new");
  WriteFile(folder / "new" / "generation_config.json", R"({"bos_token_id": 7})");
  WriteHfCard(folder / "new", before, "m.gguf");
  ReadHfCard(folder / "new", after, NoProgress());
  for (const auto& [key, value] : before) {
    ASSERT_NE(after.FindValue(key), nullptr) << key;
    EXPECT_EQ(value, *after.FindValue(key)) << key;
  }
  EXPECT_EQ(before.size(), after.size());
  const auto generation = ReadJson(folder / "new" / "generation_config.json");
  EXPECT_EQ(generation["bos_token_id"], 7);
  EXPECT_EQ(generation["temperature"], 0.6);  // not 0.6000000238418579
}

TEST(HfCard, NothingToSayIsNoFile) {
  const TestFolder folder;
  WriteHfCard(folder.path(), {}, "m.gguf");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  GgufMetadata metadata;
  ReadHfCard(folder.path(), metadata, NoProgress());
  EXPECT_EQ(metadata.size(), 0u);
}

TEST(HfCard, AReadmeIsForPeople) {
  const TestFolder folder;
  for (const std::string text : {"# No front matter\n---\na: b\n---\n", "---\nlicense: mit\n(no end)", "",
                                 "---\n- a\n- b\n---\n", "---\nlicense: {a: b}\n---\n"}) {
    WriteFile(folder / "README.md", text);
    GgufMetadata metadata;
    EXPECT_NO_THROW(ReadHfCard(folder.path(), metadata, NoProgress())) << text;
    EXPECT_EQ(metadata.size(), 0u) << text;
  }
  for (const std::string& text :
       {std::string("---\na: [\n---\n"), "---\na: " + std::string(10000, '[') + "\n---\n"}) {
    WriteFile(folder / "README.md", text);
    GgufMetadata metadata;
    Listener listener;
    ReadHfCard(folder.path(), metadata, listener);
    EXPECT_THAT(listener.heard, HasSubstr("README.md"));
  }
}

}  // namespace
}  // namespace longspan
