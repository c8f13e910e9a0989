#include "release/job_paths.h"

#include <gmock/gmock.h>

#include <array>

#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(JobPaths, InputsMustLieOutsideWhatIsWritten) {
  const TestFolder folder;
  const JobPaths paths{folder / "out", folder / "out.work", {}, {}};
  WriteFile(folder / "out/base.gguf", "a model");
  WriteFile(folder / "out.work/text.txt", "a text");
  WriteFile(folder / "outside/a.txt", "a text");
  WriteFile(folder / "out.txt", "its name begins like the folder's");
  fs::create_directory_symlink(folder / "out", folder / "outside/link");
  const auto check = [&](const fs::path& input) {
    return ErrorOf([&] { CheckOutside(paths, std::array{fs::canonical(input)}); });
  };
  EXPECT_THAT(check(folder / "out/base.gguf"), HasSubstr("base.gguf: an input within"));
  EXPECT_THAT(check(folder / "out.work/text.txt"), HasSubstr("an input within"));
  EXPECT_THAT(check(folder / "outside/link/base.gguf"), HasSubstr("an input within"));
  EXPECT_THAT(check(folder / "out"), HasSubstr("an input within"));
  EXPECT_THAT(check(folder.path()), HasSubstr("an input that holds"));
  EXPECT_EQ(check(folder / "outside"), "");
  EXPECT_EQ(check(folder / "out.txt"), "");
}

TEST(JobPaths, TheReleaseFolderHasANameOfItsOwn) {
  const TestFolder folder;
  WriteFile(folder / "base.gguf", "a model");
  Recipe recipe;
  recipe.base = folder / "base.gguf";
  for (const char* out : {"out", "out/", "out/.", "x/../out//"}) {
    recipe.release.out = folder.path() / out;
    const JobPaths paths = CheckedPaths(recipe);
    EXPECT_EQ(paths.out, folder / "out") << out;
    EXPECT_EQ(paths.work, folder / "out.work") << out;
  }
  for (const char* out : {"/", "../.."}) {
    recipe.release.out = out;
    EXPECT_EQ(KindOf([&] { CheckedPaths(recipe); }), ErrorKind::kBadOption) << out;
  }
  recipe.release.out = folder / "out";
  fs::create_symlink("absent", folder / "dangling");
  for (const char* base : {"absent", "dangling"}) {
    recipe.base = folder / base;
    EXPECT_EQ(KindOf([&] { CheckedPaths(recipe); }), ErrorKind::kInvalidFile) << base;
  }
}

}  // namespace
}  // namespace longspan
