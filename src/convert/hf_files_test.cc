#include "convert/hf_files.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "base/file.h"
#include "base/testing/open_watch.h"
#include "base/testing/temporary_folder.h"
#include "convert/gguf_to_hf.h"
#include "convert/testing/small_folders.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> Names(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::path& file : HfModelFiles(folder))
    names.push_back(file.lexically_relative(folder).generic_string());
  return names;
}

// A download as it comes: the model in two formats, Git's files, and everything that the conversion reads.
class HfFilesTest : public testing::Test {
 protected:
  HfFilesTest() {
    testing_convert::SaveTiny(folder_ / "tiny.gguf", testing_convert::TinyConfig(), Type::kF16, Type::kF16);
    ConvertGgufToHf(folder_ / "tiny.gguf", hf_, {.shard_bytes = 30'000}, NoProgress());
    for (const char* name : {"README.md", "chat_template.jinja", "additional_chat_templates/tool.jinja"})
      WriteFile(hf_ / name, "---\nlicense: mit\n---\n");
    for (const char* name : {"added_tokens.json", "chat_template.json"}) WriteFile(hf_ / name, "{}");
    for (const char* name :
         {".gitattributes", ".git/HEAD", ".cache/x.lock", "original/params.json", "onnx/model.onnx"})
      WriteFile(hf_ / name, "x");
    for (const char* name : {"pytorch_model.bin", "consolidated.00.pth", "tiny.gguf", "tf_model.h5"})
      WriteFile(hf_ / name, "weights in another format");
  }
  TestFolder folder_;
  fs::path hf_ = folder_ / "hf";
};

TEST_F(HfFilesTest, AreTheModelsOwn) {
  std::vector<std::string> names = Names(hf_);
  const auto shards =
      std::erase_if(names, [](const std::string& name) { return name.ends_with(".safetensors"); });
  EXPECT_GT(shards, 2u);
  EXPECT_THAT(names,
              testing::ElementsAre("README.md", "added_tokens.json", "additional_chat_templates/tool.jinja",
                                   "chat_template.jinja", "chat_template.json", "config.json",
                                   "generation_config.json", "model.safetensors.index.json",
                                   "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"));
}

// Whatever the conversion reads must be among them, or a change of it would go unnoticed.
TEST_F(HfFilesTest, NothingElseIsOpened) {
  const std::vector<fs::path> files = HfModelFiles(hf_);
  std::vector<fs::path> others;
  for (const auto& entry : fs::recursive_directory_iterator(hf_)) {
    if (entry.is_regular_file() && std::ranges::find(files, entry.path()) == files.end())
      others.push_back(entry.path());
  }
  EXPECT_EQ(others.size(), 9u);
  const OpenWatch watch(others), read(files);
  ConvertHfToGguf(hf_, folder_ / "again.gguf", "auto", NoProgress());
  EXPECT_THAT(watch.Opened(), IsEmpty());
  EXPECT_EQ(read.Opened().size(), files.size());
}

// As Hugging Face's cache has them.
TEST_F(HfFilesTest, MayBeLinks) {
  const fs::path snapshot = folder_ / "snapshot";
  fs::create_directory(snapshot);
  for (const fs::path& file : HfModelFiles(hf_)) {
    if (file.parent_path() == hf_) fs::create_symlink(file, snapshot / file.filename());
  }
  fs::create_symlink("absent", snapshot / "dangling.json");
  EXPECT_EQ(Names(snapshot).size(), Names(hf_).size() - 1);  // less the template in a folder
}

TEST_F(HfFilesTest, OtherFoldersAreCalledWhatTheyAre) {
  EXPECT_EQ(ErrorOf([&] { CheckIsHfModel(hf_); }), "");
  WriteFile(folder_ / "adapter/adapter_config.json", "{}");
  EXPECT_THAT(ErrorOf([&] { CheckIsHfModel(folder_ / "adapter"); }),
              HasSubstr("is the folder of an adapter"));
  EXPECT_THAT(ErrorOf([&] { CheckIsHfModel(folder_.path()); }), HasSubstr("found no config.json in it"));
  EXPECT_THAT(ErrorOf([&] { HfModelFiles(folder_ / "absent"); }),
              HasSubstr("absent: cannot list the folder"));
}

}  // namespace
}  // namespace longspan
