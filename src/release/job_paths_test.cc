#include "release/job_paths.h"

#include <gmock/gmock.h>

#include <array>

#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class JobPathsTest : public testing::Test {
 protected:
  JobPathsTest() {
    WriteFile(folder_ / "base.gguf", "a model");
    WriteFile(folder_ / "texts/a.txt", "a text");
    WriteFile(folder_ / "texts/more/b.txt", "a text");
  }
  Recipe Load(const std::string& out, const std::string& inputs = "texts",
              const std::string& file = "r.yml") {
    WriteFile(folder_ / file, fmt::format("base: {{model: {}}}\ndata: {{inputs: [{}]}}\n"
                                          "context: {{target: 64}}\ntrain: {{learning_rate: 1, steps: 1}}\n"
                                          "release: {{name: n, license: mit, out: '{}'}}\n",
                                          (folder_ / "base.gguf").string(), inputs, out));
    return LoadRecipe(folder_ / file);
  }
  TestFolder folder_;
};

TEST_F(JobPathsTest, InputsMustLieOutsideWhatIsWritten) {
  const Recipe recipe = Load("out");
  WriteFile(folder_ / "out/base.gguf", "a model");
  WriteFile(folder_ / "outside/a.txt", "a text");
  WriteFile(folder_ / "out.txt", "its name begins like the folder's");
  fs::create_directory_symlink(folder_ / "out", folder_ / "outside/link");
  const auto check = [&](const fs::path& input) {
    return ErrorOf(
        [&] { CheckOutside(recipe, "release.out", folder_ / "out", std::array{fs::canonical(input)}); });
  };
  EXPECT_THAT(check(folder_ / "out/base.gguf"),
              StartsWith((folder_ / "r.yml").string() + ":5: release.out: "));
  EXPECT_THAT(check(folder_ / "out/base.gguf"), HasSubstr("out, which is written, holds an input"));
  EXPECT_THAT(check(folder_ / "outside/link/base.gguf"), HasSubstr("holds an input"));
  EXPECT_THAT(check(folder_ / "out"), HasSubstr("holds an input"));
  EXPECT_THAT(check(folder_.path()), HasSubstr("lies within an input"));
  EXPECT_EQ(check(folder_ / "outside"), "");
  EXPECT_EQ(check(folder_ / "out.txt"), "");
}

TEST_F(JobPathsTest, TheReleaseFolderHasANameOfItsOwn) {
  for (const char* out : {"out", "out/", "out/.", "x/../out//"}) {
    const JobPaths paths = CheckedPaths(Load(out));
    EXPECT_EQ(paths.out, folder_ / "out") << out;
    EXPECT_EQ(paths.work, folder_ / "out.work") << out;
  }
  const auto check = [&](const char* out, const char* inputs, const char* file) {
    return ErrorOf([&] { static_cast<void>(CheckedPaths(Load(out, inputs, file))); });
  };
  EXPECT_THAT(check("/", "texts", "r.yml"),
              HasSubstr("r.yml:5: release.out: expected a folder of its own, found /"));
  // The folder of the recipe, which is an input itself, and the one above it; never a folder ".work" in it.
  WriteFile(folder_ / "jobs/here/texts/a.txt", "a text");
  EXPECT_THAT(check(".", "../../texts", "jobs/here/r.yml"),
              HasSubstr("jobs/here, which is written, holds an input"));
  EXPECT_THAT(check("..", "../../texts", "jobs/here/r.yml"),
              HasSubstr("jobs, which is written, holds an input"));
  EXPECT_EQ(WorkFolder(Load(".", "../../texts", "jobs/here/r.yml")), folder_ / "jobs/here.work");
  EXPECT_EQ(WorkFolder(Load("..", "../../texts", "jobs/here/r.yml")), folder_ / "jobs.work");
}

TEST_F(JobPathsTest, WhatIsMissingIsNamed) {
  Recipe recipe = Load("out");
  fs::create_symlink("absent", folder_ / "dangling");
  for (const char* base : {"absent", "dangling"}) {
    recipe.base = folder_ / base;
    EXPECT_THAT(ErrorOf([&] { static_cast<void>(CheckedPaths(recipe)); }),
                HasSubstr("r.yml:1: base.model: no file or folder at " + (folder_ / base).string()));
  }
}

TEST_F(JobPathsTest, WhatIsTrainedOnTellsNothingOfRetention) {
  WriteFile(folder_ / "kept.txt", "a text");
  for (const auto& [inputs, retention, error] : {std::tuple{"texts", "kept.txt", ""},
                                                 {"texts", "texts/a.txt", "texts/a.txt is trained on"},
                                                 {"texts/a.txt", "texts", "texts is trained on"},
                                                 {"texts", "absent.txt", "no file or folder at "}}) {
    Recipe recipe = Load("out", inputs);
    recipe.data.retention = {retention};
    const std::string found = ErrorOf([&] { static_cast<void>(CheckedPaths(recipe)); });
    EXPECT_THAT(found, HasSubstr(error));
    EXPECT_EQ(found.empty(), std::string_view(error).empty());
  }
}

// Read twice, a document could be trained on and held out at once.
TEST_F(JobPathsTest, EachDocumentIsReadOnce) {
  fs::create_symlink("a.txt", folder_ / "texts/link.txt");
  fs::create_directory_symlink("texts", folder_ / "again");
  const auto resolve = [&](const std::string& inputs) {
    const Recipe recipe = Load("out", inputs);
    return ResolveInputs(recipe, recipe.data.inputs);
  };
  EXPECT_THAT(resolve("texts/a.txt, texts/link.txt, 'texts/*.txt'"), ElementsAre(folder_ / "texts/a.txt"));
  EXPECT_THAT(resolve("texts/a.txt, texts/more, again, texts"), ElementsAre(folder_ / "texts"));
  EXPECT_THAT(ErrorOf([&] { resolve("texts, texts"); }),
              HasSubstr("r.yml:2: data.inputs: 'texts' is given twice"));
}

}  // namespace
}  // namespace longspan
