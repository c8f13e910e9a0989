#include "text/hf/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"
#include "text/gguf_vocabulary.h"
#include "text/testing/mutations.h"
#include "text/testing/vocabulary.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A small tokenizer like Qwen2's: bytes, two merges, three special tokens, one that is text.
Vocabulary ByteSample() {
  Vocabulary vocabulary = ByteVocabulary();
  vocabulary.pre = "qwen2";
  AddMerge(vocabulary, "a", "b");
  AddMerge(vocabulary, "ab", "\u0120");
  vocabulary.eos = AddToken(vocabulary, "<|endoftext|>", TokenKind::kControl);
  AddToken(vocabulary, "<|im_start|>", TokenKind::kControl);
  vocabulary.eot = AddToken(vocabulary, "<|im_end|>", TokenKind::kControl);
  AddToken(vocabulary, "<tool_call>", TokenKind::kUserDefined);
  vocabulary.pad = vocabulary.eos;
  vocabulary.chat_template = "{{ messages }} \u20AC \"quoted\"\n";
  return vocabulary;
}

Vocabulary PieceSample() {
  Vocabulary vocabulary = PieceVocabulary();
  for (const char* piece : {"ab", "\u2581ab", "\u2581", "a", "b"})
    AddPiece(vocabulary, piece, TokenKind::kNormal, 0.5f - static_cast<float>(vocabulary.tokens.size()));
  AddPiece(vocabulary, "a b", TokenKind::kUserDefined, -1000);
  vocabulary.add_bos = true;
  return vocabulary;
}

GgufMetadata MetadataOf(const Vocabulary& vocabulary) {
  GgufMetadata metadata;
  WriteVocabulary(vocabulary, metadata);
  return metadata;
}

class HfTokenizer : public testing::Test {
 protected:
  void Put(const Vocabulary& vocabulary) { WriteHfTokenizer(MetadataOf(vocabulary), folder_.path()); }
  void PutJson(const std::string& name, const json& object) { PutText(name, object.dump()); }
  // Not by WriteFile, which waits for the disk.
  void PutText(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  // Changes one value in a file that is there.
  void Change(const std::string& name, const char* pointer, const json& value) {
    json object = json::parse(ReadFile(folder_ / name));
    object[json::json_pointer(pointer)] = value;
    PutJson(name, object);
  }
  void Remove(const std::string& name) { std::filesystem::remove(folder_ / name); }

  GgufMetadata Metadata(std::int64_t vocab_size = 0) { return ReadHfTokenizer(folder_.path(), vocab_size); }
  Vocabulary Read(std::int64_t vocab_size = 0) { return ReadVocabulary(Metadata(vocab_size)); }
  // The messages of reading.
  std::vector<std::string> Messages() {
    struct Listener : Progress {
      void Message(std::string_view line) override { lines.emplace_back(line); }
      std::vector<std::string> lines;
    } listener;
    ReadHfTokenizer(folder_.path(), 0, listener);
    return listener.lines;
  }
  std::string Message(std::int64_t vocab_size = 0) {
    return ErrorOf([&] { Metadata(vocab_size); });
  }

  void ExpectBack(const GgufMetadata& metadata, std::int64_t vocab_size) {
    WriteHfTokenizer(metadata, folder_.path());
    const GgufMetadata back = Metadata(vocab_size);
    for (const auto& [key, value] : metadata) {
      const GgufValue* found = back.FindValue(key);
      ASSERT_NE(found, nullptr) << key;
      EXPECT_TRUE(*found == value) << key << ": " << Summary(*found) << ", expected " << Summary(value);
    }
    EXPECT_EQ(back.size(), metadata.size());
  }

  TestFolder folder_;
};

TEST_F(HfTokenizer, ByteLevelComesBackAsItWent) {
  Vocabulary vocabulary = ByteSample();
  ExpectBack(MetadataOf(vocabulary), 0);

  // Rows without a token, at the end and in between, and several templates.
  for (int i = 0; i < 2; ++i) AddToken(vocabulary, fmt::format("[PAD{}]", 262 + i), TokenKind::kUnused);
  vocabulary.bos = AddToken(vocabulary, "<|late|>", TokenKind::kControl);
  vocabulary.add_bos = vocabulary.add_eos = true;
  for (int i = 0; i < 5; ++i) AddToken(vocabulary, fmt::format("[PAD{}]", 265 + i), TokenKind::kUnused);
  GgufMetadata metadata = MetadataOf(vocabulary);
  metadata.Set("tokenizer.chat_templates", std::vector<std::string>{"tool_use", "rag"});
  metadata.Set("tokenizer.chat_template.tool_use", "{{ tools }}");
  metadata.Set("tokenizer.chat_template.rag", "{{ documents }}");
  ExpectBack(metadata, 270);
}

TEST_F(HfTokenizer, SentencePieceComesBackAsItWent) {
  Vocabulary vocabulary = PieceSample();
  vocabulary.chat_template = "{{ bos_token }}";
  ExpectBack(MetadataOf(vocabulary), 0);

  vocabulary.add_space_prefix = false;
  vocabulary.add_bos = false;
  vocabulary.add_eos = true;
  AddPiece(vocabulary, "spare", TokenKind::kUnused, -3);
  AddPiece(vocabulary, fmt::format("[PAD{}]", vocabulary.tokens.size()), TokenKind::kUnused, -10000);
  ExpectBack(MetadataOf(vocabulary), std::ssize(vocabulary.tokens));
}

TEST_F(HfTokenizer, SentencePieceWithoutItsModelGivesTheSameIds) {
  const Vocabulary vocabulary = PieceSample();
  Put(vocabulary);
  Remove("tokenizer.model");
  const Vocabulary back = Read();
  EXPECT_EQ(back.tokens, vocabulary.tokens);
  EXPECT_EQ(back.kinds, vocabulary.kinds);
  const auto tokenizer = Tokenizer::Make(vocabulary), other = Tokenizer::Make(back);
  for (const char* text : {"ab", "aab abb", "  ab a b ba", "\u20AC"})
    EXPECT_EQ(other->Encode(text), tokenizer->Encode(text)) << text;
}

TEST_F(HfTokenizer, PadsToTheModelsRows) {
  Put(ByteSample());
  const Vocabulary vocabulary = Read(264);
  EXPECT_EQ(vocabulary.tokens.size(), 264u);
  EXPECT_EQ(vocabulary.tokens[262], "[PAD262]");
  EXPECT_EQ(vocabulary.KindOf(263), TokenKind::kUnused);
  EXPECT_THAT(Message(261), HasSubstr("the model's vocab_size is 261"));
  EXPECT_THAT(Message(std::int64_t{1} << 40), HasSubstr("expected up to"));
}

TEST_F(HfTokenizer, NamesOfRolesGoBeforeIds) {
  Put(ByteSample());
  // As in Llama 3's instruct models: config.json has the base model's end.
  Change("tokenizer_config.json", "/eos_token", {{"content", "<|im_end|>"}, {"special", true}});
  PutJson("config.json", {{"eos_token_id", 258}, {"bos_token_id", 259}, {"pad_token_id", -1}});
  PutJson("generation_config.json", {{"eos_token_id", {260, 258}}});
  const Vocabulary vocabulary = Read();
  EXPECT_EQ(vocabulary.eos, 260);
  EXPECT_EQ(vocabulary.eot, 260);
  EXPECT_EQ(vocabulary.bos, 259);
  EXPECT_EQ(vocabulary.pad, 258);
  EXPECT_FALSE(vocabulary.add_bos);

  Change("tokenizer_config.json", "/add_bos_token", true);
  EXPECT_TRUE(Read().add_bos);
  // special_tokens_map.json counts if tokenizer_config.json says nothing.
  Change("tokenizer_config.json", "/eos_token", nullptr);
  Change("special_tokens_map.json", "/eos_token", "<|im_start|>");
  EXPECT_EQ(Read().eos, 259);
}

TEST_F(HfTokenizer, OtherEndsComeFromTheGenerationConfig) {
  Vocabulary vocabulary = ByteSample();
  vocabulary.tokens[260] = "<|done|>";
  vocabulary.eot = -1;
  Put(vocabulary);
  EXPECT_EQ(Read().eot, -1);
  PutJson("generation_config.json", {{"eos_token_id", {258, 260}}});
  EXPECT_EQ(Read().eot, 260);
  PutJson("generation_config.json", {{"eos_token_id", {258, 999}}});
  EXPECT_EQ(Read().eot, -1);
  EXPECT_THAT(Messages(), ElementsAre(HasSubstr("the eos token's id is 999, of 262 tokens")));
}

TEST_F(HfTokenizer, IdsBeyondTheTokensAreNobodys) {
  Vocabulary vocabulary = ByteSample();
  vocabulary.pad = -1;
  Put(vocabulary);
  EXPECT_THAT(Messages(), IsEmpty());
  PutJson("config.json", {{"pad_token_id", 262}});
  EXPECT_EQ(Read().pad, -1);
  EXPECT_THAT(Messages(), ElementsAre(HasSubstr("the padding token's id is 262, of 262 tokens")));
}

TEST_F(HfTokenizer, KindsOfAddedTokens) {
  Put(ByteSample());
  PutJson("added_tokens.json", {{"<extra>", 262}, {"<named>", 263}, {"<|looks_special|>", 265}});
  Change("special_tokens_map.json", "/additional_special_tokens", {"<named>"});
  const Vocabulary vocabulary = Read();
  EXPECT_EQ(vocabulary.KindOf(258), TokenKind::kControl);
  EXPECT_EQ(vocabulary.KindOf(261), TokenKind::kUserDefined);
  EXPECT_EQ(vocabulary.KindOf(262), TokenKind::kUserDefined);
  EXPECT_EQ(vocabulary.KindOf(263), TokenKind::kControl);
  EXPECT_EQ(vocabulary.tokens[264], "[PAD264]");
  EXPECT_EQ(vocabulary.KindOf(265), TokenKind::kUserDefined);  // looks decide nothing
  // A token that is named for a role is a control token, whatever list it is in.
  Change("tokenizer_config.json", "/pad_token", "ab");
  EXPECT_EQ(Read().KindOf(256), TokenKind::kControl);
  Change("tokenizer_config.json", "/pad_token", "<tool_call>");
  EXPECT_EQ(Read().KindOf(261), TokenKind::kControl);
}

TEST_F(HfTokenizer, AddedTokensThatOnlyLookSpecialComeBack) {
  Vocabulary vocabulary = ByteSample();
  AddToken(vocabulary, "<|tag|>", TokenKind::kUserDefined);
  ExpectBack(MetadataOf(vocabulary), 0);
  const json added = json::parse(ReadFile(folder_ / "tokenizer.json"))["added_tokens"];
  EXPECT_EQ(added.back()["content"], "<|tag|>");
  EXPECT_EQ(added.back()["special"], false);
}

TEST_F(HfTokenizer, StrippingComesBack) {
  Vocabulary vocabulary = ByteSample();
  vocabulary.edges = {{260, {.rstrip = true}}, {261, {.lstrip = true, .single_word = true}}};
  ExpectBack(MetadataOf(vocabulary), 0);
  const json added = json::parse(ReadFile(folder_ / "tokenizer.json"))["added_tokens"];
  EXPECT_EQ(added[2]["rstrip"], true);
  EXPECT_EQ(added[3]["single_word"], true);
  // tokenizer_config.json takes precedence.
  Change("tokenizer_config.json", "/added_tokens_decoder/260/rstrip", false);
  EXPECT_FALSE(Read().edges.contains(260));
  Remove("tokenizer_config.json");
  EXPECT_TRUE(Read().edges.at(260).rstrip);
}

TEST_F(HfTokenizer, SentencePiecesGiveWayToAddedTokens) {
  Put(PieceSample());
  Remove("tokenizer.json");
  PutJson("added_tokens.json", {{"\u2581 x", 264}, {"<pad>", 265}});
  Change("tokenizer_config.json", "/added_tokens_decoder", {{"1", {{"content", "<|im_start|>"}}}});
  Change("tokenizer_config.json", "/bos_token", "<|im_start|>");
  const Vocabulary vocabulary = Read();
  EXPECT_EQ(vocabulary.tokens[1], "<|im_start|>");
  EXPECT_EQ(vocabulary.bos, 1);
  EXPECT_EQ(vocabulary.tokens[264], "  x");  // text, so its spaces are plain
  EXPECT_EQ(vocabulary.KindOf(264), TokenKind::kUserDefined);
  EXPECT_EQ(vocabulary.KindOf(265), TokenKind::kUserDefined);
  EXPECT_EQ(vocabulary.scores[265], -1000.0f);
}

TEST_F(HfTokenizer, ASentencePieceModelTakesTheTokensAddedInTokenizerJson) {
  Put(PieceSample());
  const json end{{"id", 265}, {"content", "<|im_end|>"}, {"special", true}, {"rstrip", true}};
  Change("tokenizer.json", "/added_tokens/-", end);
  Change("tokenizer.json", "/added_tokens/-", {{"id", 266}, {"content", "<tag>"}, {"special", false}});
  Change("tokenizer_config.json", "/added_tokens_decoder", json::object());
  Change("tokenizer_config.json", "/eos_token", "<|im_end|>");
  const Vocabulary vocabulary = Read();
  EXPECT_EQ(vocabulary.tokens[265], "<|im_end|>");
  EXPECT_EQ(vocabulary.KindOf(265), TokenKind::kControl);
  EXPECT_EQ(vocabulary.KindOf(266), TokenKind::kUserDefined);
  EXPECT_TRUE(vocabulary.edges.at(265).rstrip);
  EXPECT_EQ(vocabulary.eos, 265);
  EXPECT_EQ(vocabulary.scores[259], PieceSample().scores[259]);
  EXPECT_THAT(Messages(), IsEmpty());

  // If two vocabularies differ, Hugging Face takes tokenizer.json's.
  Change("tokenizer.json", "/model/vocab/c", 265);
  Change("tokenizer.json", "/added_tokens", json::array());
  Change("tokenizer_config.json", "/eos_token", "</s>");
  EXPECT_EQ(Read().tokens[265], "c");
  EXPECT_THAT(Messages(), ElementsAre(HasSubstr("its tokens are not those of")));
}

TEST_F(HfTokenizer, ChatTemplates) {
  Vocabulary sample = ByteSample();
  sample.chat_template.clear();
  Put(sample);
  EXPECT_FALSE(Metadata().Contains("tokenizer.chat_template"));
  PutJson("chat_template.json", {{"chat_template", "old"}});
  EXPECT_EQ(Read().chat_template, "old");
  Change("tokenizer_config.json", "/chat_template",
         {{{"name", "default"}, {"template", "listed"}}, {{"name", "rag"}, {"template", "r"}}});
  EXPECT_EQ(Read().chat_template, "listed");
  EXPECT_EQ(Metadata().Get<std::string>("tokenizer.chat_template.rag"), "r");
  PutText("chat_template.jinja", "from a file");
  std::filesystem::create_directory(folder_ / "additional_chat_templates");
  PutText("additional_chat_templates/tool_use.jinja", "tools");
  EXPECT_EQ(Read().chat_template, "from a file");
  EXPECT_EQ(Metadata().Get<std::string>("tokenizer.chat_template.tool_use"), "tools");
  EXPECT_THAT(*Metadata().Find<std::vector<std::string>>("tokenizer.chat_templates"),
              ElementsAre("rag", "tool_use"));
}

TEST_F(HfTokenizer, RefusesContradictions) {
  const auto after = [&](const char* name, const char* pointer, const json& value) {
    Put(ByteSample());
    Remove("added_tokens.json");
    Remove("config.json");
    if (!std::filesystem::exists(folder_ / name)) PutJson(name, json::object());
    Change(name, pointer, value);
    return Message();
  };
  EXPECT_THAT(after("tokenizer_config.json", "/bos_token", "<s>"),
              HasSubstr("the bos_token is \"<s>\", which is not a token"));
  EXPECT_THAT(
      after("tokenizer_config.json", "/added_tokens_decoder/258/content", "<x>"),
      HasSubstr("tokenizer_config.json: token 258 is \"<x>\", and \"<|endoftext|>\" in another file"));
  EXPECT_THAT(after("tokenizer_config.json", "/added_tokens_decoder/x", {{"content", "<x>"}}),
              HasSubstr("\"added_tokens_decoder\" has \"x\""));
  EXPECT_THAT(after("tokenizer_config.json", "/added_tokens_decoder/7", {{"content", "<x>"}}),
              HasSubstr("token 7 is added as \"<x>\", and is"));
  EXPECT_THAT(after("tokenizer_config.json", "/add_bos_token", "yes"),
              HasSubstr("tokenizer_config.json: \"add_bos_token\""));
  EXPECT_THAT(after("tokenizer_config.json", "/eos_token", 7),
              HasSubstr("\"eos_token\" is 7, expected a string"));
  EXPECT_THAT(after("tokenizer_config.json", "/chat_template", 7), HasSubstr("\"chat_template\" is 7"));
  EXPECT_THAT(after("added_tokens.json", "/ab", 262), HasSubstr("the token \"ab\" has two ids, 256 and 262"));
  EXPECT_THAT(after("added_tokens.json", "/<x>", 1 << 30),
              HasSubstr("added_tokens.json: the token \"<x>\" has id"));
  EXPECT_THAT(after("added_tokens.json", "/<x>", "7"), HasSubstr("is not a whole number"));
  EXPECT_THAT(after("config.json", "/bos_token_id", 262), HasSubstr("bos_token_id 262, of 262 tokens"));
  EXPECT_THAT(after("config.json", "/bos_token_id", "one"), HasSubstr("config.json: \"bos_token_id\""));
  PutText("tokenizer_config.json", "{");
  EXPECT_THAT(Message(), HasSubstr("tokenizer_config.json: "));
  const TestFolder empty;
  EXPECT_THROW(ReadHfTokenizer(empty.path(), 0), Error);
}

TEST_F(HfTokenizer, BearsDamageInTheSmallFiles) {
  Vocabulary vocabulary = ByteSample();
  Put(vocabulary);
  PutJson("config.json", {{"bos_token_id", 258}, {"eos_token_id", {258, 260}}});
  PutJson("added_tokens.json", {{"<extra>", 262}});
  for (const char* name :
       {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"}) {
    const std::string whole = ReadFile(folder_ / name);
    ExpectDamageIsBorne(whole, 200, [&](const std::string& text) {
      PutText(name, text);
      Metadata(300);
    });
    PutText(name, whole);
  }
}

}  // namespace
}  // namespace longspan
