// Jobs that begin with a Hugging Face folder, or release one.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/open_watch.h"
#include "convert/gguf_to_hf.h"
#include "convert/hf_to_gguf.h"
#include "formats/llama_gguf.h"
#include "quantize/quantize.h"
#include "release/checksums.h"
#include "release/testing/small_job.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// From the folder hf to a release that holds another.
class ExtendHuggingFaceTest : public SmallJob {
 protected:
  ExtendHuggingFaceTest() {
    ConvertGgufToHf(folder_ / "tiny.gguf", folder_ / "hf", {}, NoProgress());
    model_ = "hf";
    release_ = "huggingface: true";
  }

  // The names that SHA256SUMS lists.
  std::set<std::string> Listed() const {
    std::set<std::string> names;
    std::istringstream lines(ReadFile(folder_ / "out/SHA256SUMS"));
    for (std::string line; std::getline(lines, line);) names.insert(line.substr(66));
    return names;
  }
  // Of the work folder, what the convert stage and all that follows from it write.
  static constexpr std::array kFollowing{
      "out.work/base.gguf",     "out.work/adapter/adapter_model.safetensors",
      "out.work/merged.gguf",   "out.work/evaluate-base.json",
      "out/tiny-384-Q8_0.gguf", "out/huggingface/model.safetensors"};
  void ExpectAllRanAgain(const std::map<std::string, fs::file_time_type>& before) const {
    for (const char* file : kFollowing) EXPECT_GT(Times().at(file), before.at(file)) << file;
  }
  void FlipBit(const std::string& name) const {
    std::string bytes = ReadFile(folder_ / name);
    bytes[bytes.size() - 2] ^= 1;  // of a weight's mantissa
    WriteFile(folder_ / name, bytes);
  }
};

std::vector<std::string> FilesBelow(const fs::path& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path().lexically_relative(folder).generic_string());
  }
  return files;
}

TEST_F(ExtendHuggingFaceTest, ReleasesTheMergedModelAsAFolder) {
  const Measurements m = Run();
  const fs::path out = folder_ / "out/huggingface";
  EXPECT_THAT(FilesBelow(out), testing::UnorderedElementsAre(
                                   "README.md", "config.json", "generation_config.json", "model.safetensors",
                                   "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"));
  ConvertHfToGguf(out, folder_ / "back.gguf", "auto", NoProgress());
  const ModelFile back = LoadModel(folder_ / "back.gguf"),
                  merged = LoadModel(folder_ / "out.work/merged.gguf");
  EXPECT_EQ(back.config.context, 384);
  EXPECT_EQ(back.config.rope_theta, merged.config.rope_theta);
  ForEachTensor(merged.weights, merged.config.tied_embeddings, [&](WeightId id, const Tensor& tensor) {
    const GgufTensor* found = back.file->FindTensor(GgufName(id));
    ASSERT_NE(found, nullptr) << Name(id);
    EXPECT_TRUE(std::ranges::equal(found->bytes, tensor.bytes())) << Name(id);
  });

  // Every file is named, with its digest and in the card, and there is no second copy of any.
  EXPECT_TRUE(VerifyChecksums(folder_ / "out").empty());
  const std::set<std::string> listed = Listed();
  const std::string card = ReadFile(folder_ / "out/README.md");
  EXPECT_EQ(m.huggingface.type, "F16");
  EXPECT_EQ(m.huggingface.files.size(), 7u);
  for (const std::string& name : FilesBelow(out)) {
    EXPECT_TRUE(listed.contains("huggingface/" + name)) << name;
    EXPECT_THAT(card, HasSubstr("(./huggingface/" + name + ")"));
  }
  EXPECT_THAT(FilesBelow(folder_ / "out.work"), Each(Not(HasSubstr("huggingface/"))));
  EXPECT_THAT(card, HasSubstr("from_pretrained(\"huggingface\""));
  EXPECT_THAT(ReadFile(out / "README.md"),
              AllOf(HasSubstr("library_name: \"transformers\""), HasSubstr("license: \"apache-2.0\""),
                    HasSubstr("# tiny-384")));
  // Times of both conversions are part of the whole.
  for (const char* stage : {"convert", "huggingface"})
    EXPECT_NE(std::ranges::find(m.stages, stage, &StageTime::name), m.stages.end()) << stage;
}

TEST_F(ExtendHuggingFaceTest, DoesNothingTwice) {
  WriteFile(folder_ / "hf/original/params.json", "{}");
  Run();
  auto before = Times();
  std::vector<fs::path> files;
  for (const std::string& name : FilesBelow(folder_ / "hf")) files.push_back(folder_ / "hf" / name);
  for (const auto& [file, time] : before) {
    if (file.starts_with("out/") || file.ends_with(".gguf")) files.push_back(folder_ / file);
  }
  const OpenWatch watch(files);
  Listener listener;
  Run("1e-3", "out", listener);
  EXPECT_THAT(watch.Opened(), IsEmpty());
  EXPECT_THAT(listener.lines, Not(HasSubstr("runs again")));
  auto after = Times();
  for (auto* times : {&before, &after}) times->erase("out.work/.lock");
  EXPECT_EQ(after, before);
}

TEST_F(ExtendHuggingFaceTest, AChangedTensorRunsAllThatFollows) {
  Run();
  const auto before = Times();
  FlipBit("hf/model.safetensors");
  Run();
  ExpectAllRanAgain(before);
  EXPECT_TRUE(VerifyChecksums(folder_ / "out").empty());
}

// What a download, Git or another program leaves in the folder is no part of the model.
TEST_F(ExtendHuggingFaceTest, FilesBesideTheModelChangeNothing) {
  Run();
  auto before = Times();
  for (const char* name :
       {"pytorch_model.bin", "original/consolidated.00.pth", ".git/FETCH_HEAD",
        ".cache/huggingface/download/config.json.metadata", "onnx/model.onnx", ".gitattributes"})
    WriteFile(folder_ / "hf" / name, "x");
  Run();
  auto after = Times();
  for (auto* times : {&before, &after}) times->erase("out.work/.lock");
  EXPECT_EQ(after, before);
  // A chat template is one, although it has a folder of its own.
  WriteFile(folder_ / "hf/additional_chat_templates/tool.jinja", "{{ tools }}");
  Run();
  EXPECT_GT(Times().at("out.work/base.gguf"), before.at("out.work/base.gguf"));
}

TEST_F(ExtendHuggingFaceTest, EveryShardCounts) {
  fs::remove_all(folder_ / "hf");
  ConvertGgufToHf(folder_ / "tiny.gguf", folder_ / "hf", {.shard_bytes = 20'000}, NoProgress());
  Run();
  int shards = 0;
  for (const std::string& name : FilesBelow(folder_ / "hf")) {
    if (!name.ends_with(".safetensors")) continue;
    ++shards;
    const auto before = Times();
    FlipBit("hf/" + name);
    Run();
    ExpectAllRanAgain(before);
  }
  EXPECT_GT(shards, 2);
}

TEST_F(ExtendHuggingFaceTest, GoesOnAfterCtrlCInEitherConversion) {
  Run("1e-3", "straight");
  for (const int start : {1, 2}) {
    Interrupter interrupter("convert", 1, start);
    EXPECT_EQ(KindOf([&] { Run("1e-3", "out", interrupter); }), ErrorKind::kCancelled) << start;
    EXPECT_FALSE(fs::exists(folder_ / "out/huggingface"));
    EXPECT_EQ(fs::exists(folder_ / "out.work/base.gguf"), start == 2);
  }
  // What a process that was killed half-way has left.
  WriteFile(folder_ / "out.work/staging/huggingface/model-00001-of-00002.safetensors", "half of a model");
  WriteFile(folder_ / "out.work/staging/huggingface.longspan-tmp-0123456789abcdef/config.json", "{");
  Run();
  EXPECT_EQ(FilesBelow(folder_ / "out").size(), FilesBelow(folder_ / "straight").size());
  for (const std::string& name : FilesBelow(folder_ / "straight/huggingface"))
    EXPECT_EQ(ReadFile(folder_ / "out/huggingface" / name), ReadFile(folder_ / "straight/huggingface" / name))
        << name;
  EXPECT_THAT(FilesBelow(folder_ / "out.work"), Each(Not(HasSubstr("longspan-tmp"))));
}

// Beside foreign files transformers would load another model than this job's.
TEST_F(ExtendHuggingFaceTest, AFolderOfTheUsersIsNeverMixedWithIt) {
  WriteFile(folder_ / "out/huggingface/model.safetensors", "a model from elsewhere");
  for (const OutputPolicy policy : {OutputPolicy{}, OutputPolicy{true, false}, OutputPolicy{true, true}}) {
    options_.outputs = policy;
    EXPECT_THAT(ErrorOf([&] { Run(); }), HasSubstr("huggingface/model.safetensors"));
    EXPECT_FALSE(fs::exists(folder_ / "out.work/base.gguf"));  // before any work
  }
  EXPECT_EQ(ReadFile(folder_ / "out/huggingface/model.safetensors"), "a model from elsewhere");
  // Without the key the folder is like any other.
  release_ = "tags: []";
  Run();
  EXPECT_EQ(ReadFile(folder_ / "out/huggingface/model.safetensors"), "a model from elsewhere");
  EXPECT_THAT(Listed(), Each(Not(HasSubstr("huggingface"))));
}

TEST_F(ExtendHuggingFaceTest, WhatWasChangedByHandIsKeptUntilForced) {
  Run();
  WriteFile(folder_ / "out/huggingface/README.md", "written by hand");
  EXPECT_THAT(ErrorOf([&] { Run(); }), HasSubstr("changed since this job wrote it: huggingface/README.md"));
  EXPECT_EQ(ReadFile(folder_ / "out/huggingface/README.md"), "written by hand");
  options_.outputs.force = true;
  Run();
  EXPECT_THAT(ReadFile(folder_ / "out/huggingface/README.md"), HasSubstr("tiny-384"));
  EXPECT_TRUE(VerifyChecksums(folder_ / "out").empty());
}

TEST_F(ExtendHuggingFaceTest, IsRemovedAndMadeAgainAsTheRecipeSays) {
  Run();
  const std::set<std::string> all = Listed();
  release_ = "huggingface: false";
  Run();
  EXPECT_FALSE(fs::exists(folder_ / "out/huggingface"));
  EXPECT_THAT(Listed(), Each(Not(HasSubstr("huggingface"))));
  release_ = "huggingface: true";
  Run();
  EXPECT_EQ(Listed(), all);
  EXPECT_TRUE(VerifyChecksums(folder_ / "out").empty());
}

// Tensors that no adapter touches stay quantised until they are decoded for this folder.
TEST_F(ExtendHuggingFaceTest, AQuantisedBaseIsDecoded) {
  QuantizeFile(folder_ / "tiny.gguf", folder_ / "q8.gguf", FindMix("Q8_0"), {}, NoProgress());
  model_ = "q8.gguf";
  EXPECT_EQ(Run().huggingface.type, "F16");
  ConvertHfToGguf(folder_ / "out/huggingface", folder_ / "back.gguf", "auto", NoProgress());
  const ModelFile back = LoadModel(folder_ / "back.gguf"), base = LoadModel(folder_ / "q8.gguf");
  EXPECT_EQ(back.weights.embedding.type(), Type::kF16);
  EXPECT_EQ(base.weights.embedding.type(), Type::kQ8_0);
  EXPECT_TRUE(
      std::ranges::equal(back.weights.embedding.bytes(), base.weights.embedding.ToFloat(Type::kF16).bytes()));
}

// A folder that is no model, or not whole, is refused in the first second, by name, and nothing is left
// behind.
TEST_F(ExtendHuggingFaceTest, FoldersThatAreNoModelAreRefusedAtOnce) {
  const auto refusal = [&] {
    std::string message = ErrorOf([&] { Run(); });
    EXPECT_FALSE(fs::exists(folder_ / "out"));
    EXPECT_FALSE(fs::exists(folder_ / "out.work"));
    return message;
  };
  const auto without = [&](const std::string& name) {
    const fs::path file = folder_ / "hf" / name, kept = folder_ / "kept";
    fs::rename(file, kept);
    std::string message = refusal();
    fs::rename(kept, file);
    return message;
  };
  const auto with = [&](const std::string& name, std::string_view text) {
    const fs::path file = folder_ / "hf" / name;
    const std::string whole = ReadFile(file);
    WriteFile(file, text);
    std::string message = refusal();
    WriteFile(file, whole);
    return message;
  };
  EXPECT_THAT(without("config.json"), HasSubstr("no config.json in it"));
  EXPECT_THAT(without("model.safetensors"), HasSubstr("neither model.safetensors nor"));
  EXPECT_THAT(without("tokenizer.json"), HasSubstr("neither tokenizer.json nor tokenizer.model"));
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') +
      "\nsize 4976698672\n";
  for (const char* name : {"model.safetensors", "tokenizer.json", "config.json"})
    EXPECT_THAT(with(name, pointer), AllOf(HasSubstr(name), HasSubstr("is a Git LFS pointer")));
  std::string weights = ReadFile(folder_ / "hf/model.safetensors");
  EXPECT_THAT(with("model.safetensors", weights.substr(0, weights.size() / 2)),
              HasSubstr("model.safetensors"));

  WriteFile(folder_ / "hf/adapter_config.json", "{}");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("recipe.yml:2: base.model:"), HasSubstr("is an adapter")));
  fs::remove(folder_ / "hf/adapter_config.json");
  model_ = "nothing";
  fs::create_directory(folder_ / "nothing");
  EXPECT_THAT(refusal(), HasSubstr("nothing: expected the folder of a Hugging Face model"));

  model_ = "hf";
  Run();  // whole again
}

}  // namespace
}  // namespace longspan
