// From a Hugging Face folder to a release that holds another, from outside.
#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "program.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ExtendHuggingFace : public testing::Test {
 protected:
  ExtendHuggingFace() { Succeed({"convert", kBase, place_ / "hf", "--type", "F16"}); }

  Outcome Succeed(const std::vector<std::string>& words) const {
    Outcome outcome = place_.Run(words);
    EXPECT_EQ(outcome.code, 0) << words[0] << ": " << outcome.err;
    return outcome;
  }
  json Tokens(const std::string& model) const {
    return json::parse(
        Succeed({"run", model, "-p", "The folder", "-n", "20", "--greedy", "--json"}).out)["tokens"];
  }

  Workplace place_;
};

TEST_F(ExtendHuggingFace, FromAFolderToAFolder) {
  const std::string docs = Documents(place_);
  const json plan = json::parse(Succeed({"plan", place_ / "hf", docs, "--to", "1024", "--steps", "2", "--out",
                                         place_ / "long", "--json"})
                                    .out);
  EXPECT_EQ(plan["stages"][0]["name"], "convert");
  EXPECT_GT(plan["stages"][0]["disk"], 1'000'000);
  EXPECT_FALSE(fs::exists(place_ / "long"));

  const std::vector<std::string> command{"extend",  place_ / "hf", docs,    "--to",
                                         "1024",    "--steps",     "2",     "--yes",
                                         "--types", "F16",         "--out", place_ / "long"};
  Succeed(command);
  EXPECT_FALSE(fs::exists(place_ / "long/release/huggingface"));
  std::string recipe = ReadFile(place_ / "long/recipe.yml");
  EXPECT_THAT(recipe, HasSubstr("id: hf"));
  recipe.replace(recipe.find("release:\n"), 9, "release:\n  huggingface: true\n");
  WriteFile(place_ / "long/recipe.yml", recipe);
  Succeed({"recipe", "check", place_ / "long/recipe.yml"});
  const json with = json::parse(Succeed({"plan", place_ / "long/recipe.yml", "--json"}).out);
  EXPECT_EQ(with["stages"].back()["name"], "huggingface");
  EXPECT_THAT(Succeed({"extend", place_ / "long/recipe.yml"}).err,
              AllOf(HasSubstr("convert: up to date"), HasSubstr("train: up to date")));

  const std::string released = place_ / "long/release";
  Succeed({"convert", released + "/huggingface", place_ / "back.gguf"});
  EXPECT_EQ(Tokens(place_ / "back.gguf"), Tokens(released + "/hf-1k-F16.gguf"));
  EXPECT_THAT(ReadFile(released + "/SHA256SUMS"), HasSubstr("huggingface/model.safetensors"));
  EXPECT_THAT(Succeed(command).err, Not(HasSubstr("runs again")));
}

// Whatever is asked of them, and before anything is written.
TEST_F(ExtendHuggingFace, FoldersThatAreNoModelAreRefusedInOneLine) {
  const std::string docs = Documents(place_);
  const auto expect_refusal = [&](const std::string& folder, const std::string& why) {
    WriteFile(place_ / "r.yml", "base: {model: " + folder +
                                    "}\ndata: {inputs: docs}\ncontext: {target: 1024}\n" +
                                    "train: {learning_rate: 1e-3, steps: 2}\n" +
                                    "release: {name: x, license: mit, out: out}\n");
    const std::vector<std::vector<std::string>> commands{
        {"plan", place_ / folder, docs, "--to", "1024"},
        {"extend", place_ / folder, docs, "--to", "1024", "--yes", "--out", place_ / "out"},
        {"plan", place_ / "r.yml"},
        {"extend", place_ / "r.yml"},
        {"recipe", "check", place_ / "r.yml"}};
    for (const std::vector<std::string>& words : commands) {
      const Outcome outcome = place_.Run(words);
      EXPECT_GE(outcome.code, 2);  // an option, a file, what is not supported, or what cannot be read
      EXPECT_LE(outcome.code, 5);
      EXPECT_THAT(outcome.err, HasSubstr(why)) << words[0];
      EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
      EXPECT_FALSE(fs::exists(place_ / "out"));
      EXPECT_FALSE(fs::exists(place_ / "out.work"));
    }
  };
  fs::create_directory(place_ / "empty");
  expect_refusal("empty", "no config.json in it");
  WriteFile(place_ / "adapter/adapter_config.json", "{\"peft_type\": \"LORA\"}");
  WriteFile(place_ / "adapter/adapter_model.safetensors", "");
  expect_refusal("adapter", "adapter");
  const std::string weights = place_ / "hf" + "/model.safetensors",
                    tokenizer = place_ / "hf" + "/tokenizer.json";
  fs::rename(tokenizer, place_ / "kept");
  expect_refusal("hf", "neither tokenizer.json nor tokenizer.model");
  fs::rename(place_ / "kept", tokenizer);
  WriteFile(weights, "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') +
                         "\nsize 4976698672\n");
  expect_refusal("hf", "model.safetensors: is a Git LFS pointer");
}

}  // namespace
}  // namespace longspan
