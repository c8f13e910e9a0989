#include "plan/choose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"
#include "plan/base_model.h"
#include "release/eval_texts.h"
#include "release/job_paths.h"
#include "release/preparation.h"
#include "release/recipe/recipe_check.h"
#include "release/recipe/recipe_text.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kSource(LONGSPAN_SOURCE_DIR);

class ChooseRecipeTest : public testing::Test {
 protected:
  ChoiceRequest Request() const {
    return {.model = kSource / "models" / "longspan-base.gguf",
            .documents = {(kSource / "docs" / "*.md").string()},
            .target = 2048,
            .folder = folder_ / "out"};
  }
  TestFolder folder_;
};

TEST_F(ChooseRecipeTest, MakesARecipeThatHoldsAndReadsBack) {
  const Choice choice = ChooseRecipe(Request(), "auto");
  EXPECT_EQ(choice.recipe.context.target, 2048);
  EXPECT_LE(choice.recipe.context.window, 512);
  EXPECT_EQ(choice.recipe.rope.scaling, RopeScaling::Kind::kYarn);
  EXPECT_GE(choice.recipe.eval.contexts.front(), 64);
  EXPECT_FALSE(choice.reasons.empty());
  EXPECT_NO_THROW(CheckRecipe(choice.recipe));
  // The text says why, and reads as the same recipe.
  const std::string text = RecipeText(choice.recipe, choice.comments);
  EXPECT_THAT(text, HasSubstr("PoSE needs examples far shorter than the target"));
  const Recipe read = ParseRecipe(choice.recipe.file, text);
  EXPECT_EQ(RecipeText(read), RecipeText(choice.recipe));
}

TEST_F(ChooseRecipeTest, TakesStepsAndTypesAsAsked) {
  ChoiceRequest request = Request();
  request.steps = 2;
  request.types = {"Q5_K_M"};
  const Choice choice = ChooseRecipe(request, "auto");
  EXPECT_EQ(choice.recipe.train.steps, 2);
  EXPECT_EQ(choice.recipe.train.warmup, 0);
  EXPECT_THAT(choice.recipe.quantize, testing::ElementsAre("Q5_K_M"));
}

// The longest document is trained on, so it is no text to measure on; one is as short as can be.
TEST_F(ChooseRecipeTest, MeasuresOnWhatIsHeldOut) {
  const std::string text = ReadFile(kSource / "docs" / "architecture.md");
  for (const int documents : {2, 10}) {
    const fs::path texts = folder_ / fmt::format("texts{}", documents);
    for (int i = 0; i + 1 < documents; ++i)
      WriteFile(texts / fmt::format("{}.txt", i), text.substr(100 * i, 600));
    WriteFile(texts / "long.txt", text);
    ChoiceRequest request = Request();
    request.documents = {texts};
    const Recipe recipe = ChooseRecipe(request, "auto").recipe;
    const BaseModel base = OpenBaseModel(request.model);
    const TextEncoder encoder = EncoderOf(*base.tokenizer);
    const fs::path shards = folder_ / fmt::format("shards{}", documents);
    Prepare({texts}, encoder, PreparationOf(recipe.data), shards, NoProgress());
    const std::int64_t longest = MeasureEvalTexts(shards, EvalTexts::kHeldOut).longest;
    EXPECT_LE(recipe.eval.LongestWindow(), longest);
    EXPECT_NO_THROW(EvalWithin(recipe, longest));
  }
}

TEST_F(ChooseRecipeTest, RefusesWhatCannotBeChosen) {
  ChoiceRequest request = Request();
  request.target = 512;
  EXPECT_THAT(ErrorOf([&] { ChooseRecipe(request, "auto"); }), HasSubstr("its window is 512 tokens already"));
  request = Request();
  WriteFile(folder_ / "one.txt", ReadFile(kSource / "docs" / "architecture.md"));
  request.documents = {folder_ / "one.txt"};
  EXPECT_THAT(ErrorOf([&] { ChooseRecipe(request, "auto"); }), HasSubstr("give two or more"));
}

TEST_F(ChooseRecipeTest, RefusesAFolderAmongTheDocuments) {
  for (int i = 0; i < 3; ++i)
    WriteFile(folder_ / fmt::format("docs/{}.md", i), ReadFile(kSource / "docs" / "architecture.md"));
  ChoiceRequest request = Request();
  const auto refused = [&](const std::string& documents, const std::string& out) {
    request.documents = {(folder_ / documents).string()};
    request.folder = folder_ / out;
    EXPECT_THAT(ErrorOf([&] { ChooseRecipe(request, "auto"); }), HasSubstr("would lie among the documents"));
  };
  fs::create_directory_symlink("docs", folder_ / "link");
  refused("docs", "docs");
  refused("docs", "docs/out");
  refused("docs", "link/out");
  refused("docs/*", "docs");
}

// A file whose name looks like a pattern is that file, and not what the pattern matches.
TEST_F(ChooseRecipeTest, FilesAreTakenLiterally) {
  const std::string text = ReadFile(kSource / "docs" / "architecture.md");
  WriteFile(folder_ / "a[1].txt", text);
  WriteFile(folder_ / "a1.txt", text + " ");
  WriteFile(folder_ / "b.txt", text + "  ");
  ChoiceRequest request = Request();
  request.documents = {folder_ / "a[1].txt", folder_ / "b.txt"};
  const Choice choice = ChooseRecipe(request, "auto");
  const auto inputs = ResolveInputs(choice.recipe, choice.recipe.data.inputs);
  EXPECT_THAT(inputs,
              testing::ElementsAre(fs::canonical(folder_ / "a[1].txt"), fs::canonical(folder_ / "b.txt")));
}

TEST_F(ChooseRecipeTest, AnEarlierChoiceMustBeForTheSame) {
  const ChoiceRequest request = Request();
  const Choice choice = ChooseRecipe(request, "auto");
  EXPECT_NO_THROW(CheckSameRequest(choice.recipe, request));
  ChoiceRequest other = request;
  other.target = 4096;
  EXPECT_THAT(ErrorOf([&] { CheckSameRequest(choice.recipe, other); }),
              HasSubstr("made for a window of 2048, not 4096"));
  other = request;
  other.documents = {(kSource / "docs" / "a*.md").string()};
  EXPECT_THAT(ErrorOf([&] { CheckSameRequest(choice.recipe, other); }), HasSubstr("documents"));
}

}  // namespace
}  // namespace longspan
