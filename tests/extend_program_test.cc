// extend and plan without a recipe, from outside.
#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/machine.h"
#include "program.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::vector<std::string> FilesIn(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path().lexically_relative(folder));
  return files;
}

TEST(ExtendWithoutRecipe, ChoosesRunsAndGoesOn) {
  const Workplace place;
  const std::vector<std::string> command{"extend",       kBase,  Documents(place), "--to", "1024",
                                         "--steps",      "2",    "--types",        "Q8_0", "--out",
                                         place / "long", "--yes"};
  const Outcome first = place.Run(command);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("context.window"));  // what was chosen, and why
  EXPECT_THAT(first.out, HasSubstr("It fits."));
  EXPECT_THAT(first.out, testing::ContainsRegex("Types compared with the merged model \\(.*\\) on [0-9]+ "
                                                "tokens, in windows of [0-9]+:"));
  EXPECT_THAT(FilesIn(place / "long/release"),
              testing::IsSupersetOf({"README.md", "SHA256SUMS", "longspan-base-1k-Q8_0.gguf"}));
  EXPECT_THAT(ReadFile(place / "long/recipe.yml"), HasSubstr("# "));  // its reasons stand beside the keys

  const Outcome again = place.Run(command);
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("train: up to date"));

  std::vector<std::string> other = command;
  other[4] = "2048";
  const Outcome refused = place.Run(other);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("name another --out"));
}

// What nobody saw is not begun where the memory does not suffice. The recipe is there to be edited.
TEST(ExtendWithoutRecipe, RefusesWhatDoesNotFit) {
  constexpr std::uint64_t kNeeded = std::uint64_t{64} << 30;  // of keys and values, at 2^24 tokens
  if (AvailableMemoryBytes() >= kNeeded) GTEST_SKIP() << "it fits this machine";
  const Workplace place;
  // So many steps that there is time to measure at the target.
  std::vector<std::string> command{"plan",    kBase,        Documents(place), "--to",         "16777216",
                                   "--steps", "1000000000", "--out",          place / "long", "--json"};
  const Outcome asked = place.Run(command);
  ASSERT_EQ(asked.code, 0) << asked.err;  // the question is answered
  ASSERT_FALSE(nlohmann::json::parse(asked.out)["advice"].empty()) << asked.out;
  command.front() = "extend";
  command.back() = "--yes";
  for (int i = 0; i < 2; ++i) {
    const Outcome outcome = place.Run(command);
    EXPECT_EQ(outcome.code, 6);
    EXPECT_THAT(outcome.err, HasSubstr("long/recipe.yml: does not fit this machine: evaluate-base: needs "));
    EXPECT_THAT(outcome.err, HasSubstr("lower eval.contexts, eval.passkey.lengths"));
    EXPECT_FALSE(fs::exists(place / "long/release.work"));
  }
  EXPECT_THAT(ReadFile(place / "long/recipe.yml"), HasSubstr("target: 16777216"));
  const Outcome plan = place.Run({"plan", place / "long/recipe.yml"});
  EXPECT_EQ(plan.code, 0);
  EXPECT_THAT(plan.out, HasSubstr(" years"));
  EXPECT_THAT(plan.out, HasSubstr("Does not fit: evaluate-base: needs "));
}

// Without a terminal nobody can be asked.
TEST(ExtendWithoutRecipe, DoesNotBeginUnasked) {
  const Workplace place;
  const Outcome outcome =
      place.Run({"extend", kBase, Documents(place), "--to", "1024", "--out", place / "long"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("--yes"));
  EXPECT_FALSE(fs::exists(place / "long"));
}

TEST(ExtendWithoutRecipe, FaultsOfTheCommandLineSayWhatToGive) {
  const Workplace place;
  const std::string docs = Documents(place);
  EXPECT_THAT(place.Run({"extend", kBase, docs}).err, HasSubstr("--to"));
  EXPECT_THAT(place.Run({"extend", kBase, "--to", "1024"}).err, HasSubstr("documents"));
  EXPECT_THAT(place.Run({"extend", docs}).err, HasSubstr("no recipe"));
  EXPECT_THAT(place.Run({"extend", "absent.gguf", docs, "--to", "1024"}).err, HasSubstr("absent.gguf"));
  EXPECT_THAT(place.Run({"plan", kBase, docs, "--to", "512"}).err, HasSubstr("512 tokens already"));
}

TEST(Plan, WritesNothingAndAddsUp) {
  const Workplace place;
  const Outcome outcome =
      place.Run({"plan", kBase, Documents(place), "--to", "1024", "--out", place / "long", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);
  double seconds = 0;
  for (const auto& stage : json["stages"]) seconds += stage["seconds"].get<double>();
  EXPECT_NEAR(json["seconds"].get<double>(), seconds, 1e-6 * seconds);
  EXPECT_FALSE(fs::exists(place / "long"));
}

}  // namespace
}  // namespace longspan
