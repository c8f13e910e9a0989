// Conversions by the program, with the repository's own model.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "program.h"

namespace longspan {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json Convert(const Workplace& place, const std::vector<std::string>& arguments) {
  std::vector<std::string> command{"convert"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  command.insert(command.end(), {"--json", "--threads", "1"});
  const Outcome outcome = place.Run(command);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.code == 0 ? json::parse(outcome.out) : json();
}

json Story(const Workplace& place, const std::string& model) {
  const Outcome outcome =
      place.Run({"run", model, "-p", "Once upon a time", "-n", "30", "--greedy", "--json", "--threads", "1"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.code == 0 ? json::parse(outcome.out).at("tokens") : json();
}

TEST(Convert, TheBaseModelGoesToHuggingFaceAndBack) {
  const Workplace place;
  const json report = Convert(place, {kBase, place / "hf"});
  EXPECT_EQ(report["conversion"], "GGUF -> Hugging Face folder");
  EXPECT_EQ(report["tensors"], 38);
  EXPECT_EQ(Convert(place, {place / "hf", place / "back.gguf"})["conversion"], "Hugging Face folder -> GGUF");
  EXPECT_EQ(Story(place, kBase), Story(place, place / "back.gguf"));
  Convert(place, {place / "back.gguf", place / "again"});
  for (const char* name : {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"}) {
    EXPECT_EQ(ReadFile(place / "hf" + "/" + name), ReadFile(place / "again" + "/" + name)) << name;
  }
}

TEST(Convert, TheBaseModelInShards) {
  const Workplace place;
  const json report = Convert(place, {kBase, place / "shards", "--split-size", "3MB"});
  ASSERT_GT(report["files"].size(), 2u);
  const std::string first = report["files"][0];
  EXPECT_THAT(first, HasSubstr("longspan-base-00001-of-0000"));
  EXPECT_EQ(Story(place, kBase), Story(place, first));
  Convert(place, {first, place / "joined.gguf"});
  EXPECT_EQ(ReadFile(place / "joined.gguf"), ReadFile(kBase));
}

TEST(Convert, ErrorsAreOneLine) {
  const Workplace place;
  const auto error = [&](const std::vector<std::string>& command) {
    const Outcome outcome = place.Run(command);
    EXPECT_GT(outcome.code, 0);
    return outcome.err;
  };
  EXPECT_THAT(error({"convert", kBase, place / "x.gguf"}), HasSubstr("one piece already"));
  EXPECT_THAT(error({"convert", kBase, place / "x", "--type", "Q4_0"}), HasSubstr("F32, F16 or BF16"));
  EXPECT_THAT(error({"convert", kBase, place / "x", "--split-size", "many"}), HasSubstr("--split-size"));
  EXPECT_FALSE(std::filesystem::exists(place / "x"));
}

}  // namespace
}  // namespace longspan
