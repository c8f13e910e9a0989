// Text into tokens from outside: what the program says where a text or a vocabulary is odd.
#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "program.h"

namespace longspan {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kBase = std::string(LONGSPAN_SOURCE_DIR) + "/models/longspan-base.gguf";

json Tokens(const Workplace& place, const std::string& model, const std::string& text) {
  const Outcome outcome = place.Run({"tokenize", model, text, "--special", "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.code == 0 ? json::parse(outcome.out).at("ids") : json();
}

TEST(Tokens, TwoBosAreSaid) {
  const Workplace place;
  const std::string text = "<|begin_of_text|>Once upon a time";
  const Outcome tokenize = place.Run({"tokenize", kBase, text, "--special", "--bos"});
  EXPECT_EQ(tokenize.code, 0);
  EXPECT_THAT(tokenize.err, HasSubstr("warning: the tokens begin with \"<|begin_of_text|>\" twice"));
  EXPECT_EQ(place.Run({"tokenize", kBase, text, "--special"}).err, "");
  EXPECT_EQ(place.Run({"tokenize", kBase, text, "--bos"}).err, "");
  const std::vector<std::string> run{"run", kBase, "-p", text, "-n", "1", "--threads", "1"};
  auto with = run, without = run;
  with.push_back("--special");
  EXPECT_THAT(place.Run(with).err, HasSubstr("twice"));
  without.insert(without.end(), {"--special", "--no-bos"});
  EXPECT_EQ(place.Run(without).err, "");
}

// The base model as a Hugging Face folder, its tokenizer.json changed.
class AddedToken : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(place_.Run({"convert", kBase, Folder()}).code, 0); }
  std::string Folder() const { return place_ / "hf"; }
  json Read(const std::string& name) const { return json::parse(ReadFile(Folder() + "/" + name)); }
  void Write(const std::string& name, const json& object) const {
    WriteFile(Folder() + "/" + name, object.dump());
  }
  // The last added token, which the model has a row for, becomes another.
  std::int64_t Rename(const std::string& content, const json& flags) const {
    json tokenizer = Read("tokenizer.json");
    json& last = tokenizer["added_tokens"].back();
    last["content"] = content;
    last.update(flags);
    Write("tokenizer.json", tokenizer);
    // The configurations name it as the end-of-text token, so they lose that key.
    for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
      json config = Read(name);
      config.erase("added_tokens_decoder");
      config.erase("eos_token");
      Write(name, config);
    }
    return last["id"];
  }
  json Back() const {
    EXPECT_EQ(place_.Run({"convert", place_ / "x.gguf", place_ / "back"}).code, 0);
    return json::parse(ReadFile(place_ / "back" + "/tokenizer.json"))["added_tokens"].back();
  }
  Outcome Convert() const { return place_.Run({"convert", Folder(), place_ / "x.gguf"}); }

  Workplace place_;
};

TEST_F(AddedToken, ThatOnlyLooksSpecialIsText) {
  const std::int64_t id = Rename("<|tag|>", {{"special", false}});
  ASSERT_EQ(Convert().code, 0);
  const Outcome plain = place_.Run({"tokenize", place_ / "x.gguf", "a<|tag|>", "--json"});
  EXPECT_EQ(json::parse(plain.out).at("ids").back(), id);
  EXPECT_EQ(Back()["special"], false);
}

TEST_F(AddedToken, StripsWhatItIsToStrip) {
  const std::int64_t id = Rename("<|end|>", {{"rstrip", true}});
  ASSERT_EQ(Convert().code, 0);
  const json spaces = Tokens(place_, place_ / "x.gguf", "The<|end|>  said");
  EXPECT_EQ(spaces, Tokens(place_, place_ / "x.gguf", "The<|end|>said"));
  EXPECT_EQ(std::ranges::count(spaces, json(id)), 1);
  EXPECT_EQ(Back()["rstrip"], true);
}

TEST_F(AddedToken, BeyondTheVocabularyIsSaidAndLeftOut) {
  json config = Read("config.json");
  config["pad_token_id"] = config["vocab_size"];
  Write("config.json", config);
  const Outcome outcome = Convert();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("warning: "));
  EXPECT_THAT(outcome.err, HasSubstr("there is no such token"));
  EXPECT_EQ(place_.Run({"tokenize", place_ / "x.gguf", "a"}).code, 0);
}

}  // namespace
}  // namespace longspan
