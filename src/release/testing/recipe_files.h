// Small recipes in a folder of the test's own.
#pragma once

#include <gmock/gmock.h>

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"
#include "release/recipe/recipe.h"

namespace longspan {

inline constexpr std::string_view kLeast = R"(base: {model: base.gguf}
data: {inputs: text}
context: {target: 4_096}
train:
  learning_rate: 2e-4
  steps: 10
release: {name: small, license: mit}
)";

class RecipeTest : public ::testing::Test {
 protected:
  Recipe Load(std::string_view text) {
    WriteFile(folder_ / "r.yml", text);
    return LoadRecipe(folder_ / "r.yml");
  }
  // The least recipe with one piece of its text replaced.
  Recipe LoadWith(std::string_view from, std::string_view to) {
    std::string text(kLeast);
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos);
    return Load(text.replace(at, from.size(), to));
  }
  void ExpectFault(std::string_view from, std::string_view to, const std::string& message) {
    EXPECT_THAT([&] { LoadWith(from, to); }, testing::ThrowsMessage<Error>(testing::HasSubstr(message)));
  }
  TestFolder folder_;
};

}  // namespace longspan
