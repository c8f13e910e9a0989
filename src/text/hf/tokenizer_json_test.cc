// tokenizer.json: reading what others write, refusing what GGUF cannot express, and reading back what is
// written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/testing/expect_error.h"
#include "formats/json_file.h"
#include "text/hf/tokenizer_json_reader.h"
#include "text/hf/tokenizer_json_writer.h"
#include "text/testing/mutations.h"
#include "text/testing/vocabulary.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

Vocabulary ByteSample() {
  Vocabulary vocabulary = ByteVocabulary();
  AddMerge(vocabulary, "a", "b");
  AddMerge(vocabulary, "ab", "\u0120");
  vocabulary.bos = AddToken(vocabulary, "<|begin_of_text|>", TokenKind::kControl);
  AddToken(vocabulary, "<tool>", TokenKind::kUserDefined);
  vocabulary.add_bos = true;
  return vocabulary;
}

Vocabulary PieceSample() {
  Vocabulary vocabulary = PieceVocabulary();
  for (const char* piece : {"ab", "bc", "\u2581ab", "abc", "\u2581", "a", "b", "c"})
    AddPiece(vocabulary, piece, TokenKind::kNormal, -static_cast<float>(vocabulary.tokens.size() - 259));
  vocabulary.add_bos = true;
  return vocabulary;
}

std::string TextOf(const Vocabulary& vocabulary) {
  return TokenizerJson(vocabulary, vocabulary.tokens.size(), "source");
}
json JsonOf(const Vocabulary& vocabulary) { return json::parse(TextOf(vocabulary)); }

TokenizerDraft Parse(const json& object) { return ParseTokenizerJson(object.dump(), "a.json"); }

std::string Message(const json& object) {
  return ErrorOf([&] { Parse(object); });
}

TEST(TokenizerJson, ByteLevelComesBack) {
  for (const char* pre : {"llama-bpe", "smaug-bpe", "gpt-2", "qwen2", "smollm", "tekken", "default"}) {
    Vocabulary vocabulary = ByteSample();
    vocabulary.pre = pre;
    const TokenizerDraft draft = ParseTokenizerJson(TextOf(vocabulary), "a.json");
    EXPECT_EQ(draft.vocabulary.pre, pre);
    EXPECT_EQ(draft.vocabulary.merges, vocabulary.merges);
    EXPECT_EQ(draft.vocabulary.tokens.size(), 258u);  // added tokens follow, outside the model
    ASSERT_EQ(draft.added.size(), 2u);
    EXPECT_EQ(draft.added[0].id, vocabulary.bos);
    EXPECT_TRUE(draft.added[0].special);
    EXPECT_FALSE(draft.added[1].special);
    ASSERT_TRUE(draft.ends);
    EXPECT_EQ(draft.ends->first, "<|begin_of_text|>");
    EXPECT_FALSE(draft.ends->last);
  }
}

TEST(TokenizerJson, SentencePieceComesBack) {
  const Vocabulary vocabulary = PieceSample();
  const TokenizerDraft draft = ParseTokenizerJson(TextOf(vocabulary), "a.json");
  EXPECT_EQ(draft.vocabulary.tokens, vocabulary.tokens);
  EXPECT_EQ(draft.vocabulary.kinds, vocabulary.kinds);
  EXPECT_EQ(draft.vocabulary.scores, vocabulary.scores);
  EXPECT_EQ(draft.vocabulary.unknown, 0);
  EXPECT_TRUE(draft.vocabulary.add_space_prefix);
}

TEST(TokenizerJson, TokensOfOneScoreComeBack) {
  // Llama 2's runs of spaces have one score: any of them may be joined next, so the leftmost is.
  Vocabulary vocabulary = PieceVocabulary();
  for (const char* piece : {"aa", "aaaa", "ab", "aaa"})
    AddPiece(vocabulary, piece, TokenKind::kNormal, std::string_view(piece) == "ab" ? -1.0f : -9.0f);
  AddPiece(vocabulary, "a", TokenKind::kNormal, -10);
  AddPiece(vocabulary, "b", TokenKind::kNormal, -11);
  json object = JsonOf(vocabulary);
  EXPECT_EQ(object["model"]["merges"], json({"a b", "aaa a", "aa aa", "aa a", "a aaa", "a aa", "a a"}));
  EXPECT_EQ(JsonOf(Parse(object).vocabulary)["model"], object["model"]);

  // Other converters sort by ids.
  object["model"]["merges"] = {"a b", "aa aa", "aa a", "aaa a", "a aa", "a aaa", "a a"};
  const auto tokenizer = Tokenizer::Make(vocabulary), other = Tokenizer::Make(Parse(object).vocabulary);
  for (std::size_t length = 1; length < 20; ++length) {
    const std::string run(length, 'a');
    EXPECT_EQ(other->Encode(run), tokenizer->Encode(run));
  }
}

TEST(TokenizerJson, ReadsMergesAsStringsAndAsPairs) {
  json object = JsonOf(ByteSample());
  ASSERT_EQ(object["model"]["merges"], json({"a b", "ab \u0120"}));
  object["model"]["merges"] = json::array({json::array({"a", "b"}), json::array({"ab", "\u0120"})});
  EXPECT_THAT(Parse(object).vocabulary.merges, ElementsAre("a b", "ab \u0120"));
}

TEST(TokenizerJson, MergesMayBeAsManyAsTheyAre) {
  // Llama 3 has 280,147. They are not kept as JSON, so its limit does not count them.
  json object = JsonOf(ByteSample());
  object["model"]["merges"] = json::array();
  for (int i = 0; i < 200'000; ++i) object["model"]["merges"].push_back({"a", "b"});
  object["model"]["merges"].push_back({"ab", "\u0120"});
  EXPECT_EQ(Parse(object).vocabulary.merges.size(), 200'001u);
}

TEST(TokenizerJson, RecognisesOtherSpellings) {
  json object = JsonOf(ByteSample());
  json& regex = object["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"];
  std::string spelled = regex.get<std::string>();
  spelled.replace(0, spelled.find('|', spelled.find(")")),
                  "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])");
  regex = spelled;
  EXPECT_EQ(Parse(object).vocabulary.pre, "llama-bpe");

  // GPT-2's and SmolLM's files name what they do.
  object["pre_tokenizer"] = json::parse(R"({"type": "ByteLevel", "add_prefix_space": false})");
  object["model"].erase("ignore_merges");
  EXPECT_EQ(Parse(object).vocabulary.pre, "gpt-2");
  object["pre_tokenizer"] = json::parse(R"({"type": "Sequence", "pretokenizers": [
      {"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": false}]})");
  EXPECT_EQ(Parse(object).vocabulary.pre, "smollm");

  // The newer way to write what SentencePiece does with spaces.
  json piece = JsonOf(PieceSample());
  piece["normalizer"] = nullptr;
  piece["pre_tokenizer"] = json::parse(
      R"({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": false})");
  EXPECT_TRUE(Parse(piece).vocabulary.add_space_prefix);
  piece["pre_tokenizer"]["prepend_scheme"] = "never";
  EXPECT_FALSE(Parse(piece).vocabulary.add_space_prefix);
}

TEST(TokenizerJson, RefusesWhatGgufCannotSay) {
  const auto refuses = [](bool spm, const char* pointer, const json& value) {
    json object = JsonOf(spm ? PieceSample() : ByteSample());
    object[json::json_pointer(pointer)] = value;
    return Message(object);
  };
  EXPECT_THAT(refuses(false, "/model/type", "WordPiece"), HasSubstr("a.json: a model of type \"WordPiece\""));
  EXPECT_THAT(refuses(false, "/model/end_of_word_suffix", "</w>"), HasSubstr("end_of_word_suffix"));
  EXPECT_THAT(refuses(false, "/model/byte_fallback", true), HasSubstr("and yet falls back"));
  EXPECT_THAT(refuses(true, "/model/byte_fallback", false), HasSubstr("neither byte-level"));
  EXPECT_THAT(refuses(false, "/normalizer", {{"type", "Lowercase"}}), HasSubstr("\"Lowercase\""));
  EXPECT_THAT(refuses(true, "/normalizer", {{"type", "NFKC"}}), HasSubstr("\"NFKC\""));
  EXPECT_THAT(refuses(true, "/normalizer", nullptr), HasSubstr("nothing turns spaces"));
  EXPECT_THAT(refuses(false, "/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\w+"), HasSubstr("\"\\w+\""));
  EXPECT_THAT(refuses(false, "/pre_tokenizer/pretokenizers/0/behavior", "Removed"), HasSubstr("isolates"));
  EXPECT_THAT(refuses(false, "/pre_tokenizer/pretokenizers/1/add_prefix_space", true),
              HasSubstr("a space before"));
  EXPECT_THAT(refuses(false, "/post_processor/processors/1/type", "BertProcessing"),
              HasSubstr("BertProcessing"));
  // SentencePiece joins whatever makes a token, so a list must have all of that, in the order of scores.
  EXPECT_THAT(refuses(true, "/model/merges", {"a b", "b c", "\u2581 ab", "ab c"}),
              HasSubstr("\"a\" and \"bc\" make a token but are not a merge"));
  EXPECT_THAT(refuses(true, "/model/merges", {"a b", "ab c", "b c", "\u2581 ab", "a bc"}),
              HasSubstr("make \"abc\" stand apart"));
}

TEST(TokenizerJson, RefusesWhatIsBroken) {
  const auto breaks = [](const char* pointer, const json& value) {
    json object = JsonOf(ByteSample());
    object[json::json_pointer(pointer)] = value;
    return Message(object);
  };
  EXPECT_THAT(breaks("/model/vocab/x", "0"),
              HasSubstr("a.json: the id of the token \"x\" is not a whole number"));
  EXPECT_THAT(breaks("/model/vocab/xx", 7), HasSubstr("both have id 7"));
  EXPECT_THAT(breaks("/model/vocab/xx", -1), HasSubstr("has id -1"));
  EXPECT_THAT(breaks("/model/vocab/xx", std::int64_t{1} << 40), HasSubstr("has id 1099511627776"));
  EXPECT_THAT(breaks("/model/vocab", json::object()), HasSubstr("the model has no tokens"));
  json unigram = JsonOf(PieceSample());
  unigram["model"]["vocab"] = json::array({json::array({"<unk>", 0.0}), json::array({"a", -1.5})});
  EXPECT_THAT(Message(unigram), HasSubstr("the model has no tokens"));
  unigram["model"]["type"] = "Unigram";
  EXPECT_THAT(Message(unigram), HasSubstr("a model of type \"Unigram\""));
  EXPECT_THAT(breaks("/model", nullptr), HasSubstr("there is no \"model\""));
  EXPECT_THAT(breaks("/model/merges/0", "ab"), HasSubstr("merge 0 is \"ab\""));
  EXPECT_THAT(breaks("/model/merges/1", {"a", "b", "c"}), HasSubstr("merge 1 is neither"));
  EXPECT_THAT(breaks("/model/merges/1", 7), HasSubstr("merge 1 is neither"));
  EXPECT_THAT(breaks("/model/merges/1", "a zz"), HasSubstr("merge 1: \"zz\" is not a token"));
  EXPECT_THAT(breaks("/added_tokens", 7), HasSubstr("\"added_tokens\" is not a list"));
  EXPECT_THAT(breaks("/added_tokens/0", {{"id", 7}}), HasSubstr("no content or no id"));
  EXPECT_THAT(breaks("/added_tokens/0/special", "yes"),
              HasSubstr("\"special\" is \"yes\", expected true or false"));
  EXPECT_THAT(breaks("/added_tokens/0/content", "ab"), HasSubstr("has id 258, and 256 in the vocabulary"));
  EXPECT_THAT(Message(json::array()), HasSubstr("expected a JSON object"));
  EXPECT_THROW(ParseTokenizerJson("{\"model\": {", "a.json"), Error);
}

TEST(TokenizerJson, BoundsDepthAndSize) {
  EXPECT_THROW(ParseTokenizerJson(std::string(1 << 20, '['), "a.json"), Error);
  std::string wide = "[0";
  for (int i = 0; i < 1 << 20; ++i) wide += ",0";
  EXPECT_THROW(ParseJson(wide + "]", "a.json"), Error);
}

TEST(TokenizerJson, BearsDamage) {
  for (const Vocabulary& vocabulary : {ByteSample(), PieceSample()})
    ExpectDamageIsBorne(TextOf(vocabulary), 1500,
                        [](const std::string& text) { ParseTokenizerJson(text, "f"); });
}

TEST(TokenizerJson, RefusesTokensThatAreNotUtf8) {
  Vocabulary vocabulary = ByteSample();
  vocabulary.tokens[5] = "\xFF";
  EXPECT_THROW(TextOf(vocabulary), Error);
}

}  // namespace
}  // namespace longspan
