#include "data/text_field.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace longspan {
namespace {

using testing::HasSubstr;
using State = TextField::State;

TEST(TextField, ReadsTheFieldAndSaysHowLongTheObjectIs) {
  const std::string json =
      " {\"meta\": {\"text\": \"no\", \"a\": [1, [], {}]}, \"text\" : \"yes\"}\n{\"text\": 1}";
  const TextField found = ReadTextField(json, "text");
  EXPECT_EQ(found.state, State::kText);
  EXPECT_EQ(found.text, "yes");
  EXPECT_EQ(json.substr(found.length, 1), "\n");
  EXPECT_EQ(ReadTextField("{\"text\": \"first\", \"text\": \"second\"}", "text").text, "first");
  EXPECT_EQ(ReadTextField("{\"t\\u0065xt\": \"spelt otherwise\"}", "text").text, "spelt otherwise");
}

TEST(TextField, OtherValuesMayBeAnything) {
  for (const char* value :
       {"NaN", "-Infinity", "1e999", "123456789012345678901234567890", "\"\\ud83d\"", "\"\\x\"", "\"\tx\"",
        "\"\xff\"", "[[[\"]\"]], {\"a\": [{}]}]", "null", "{}", "[]"}) {
    for (const std::string& json : {"{\"text\": \"good\", \"x\": " + std::string(value) + "}",
                                    "{\"x\": " + std::string(value) + ", \"text\": \"good\"}"}) {
      EXPECT_EQ(ReadTextField(json, "text").text, "good") << json;
    }
  }
}

TEST(TextField, DecodesEscapes) {
  const auto text = [](const std::string& escaped) {
    return ReadTextField("{\"text\": \"" + escaped + "\"}", "text").text;
  };
  EXPECT_EQ(text(R"(\"\\\/\b\f\n\r\t)"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(text(R"(\u0041\u00e9\u20AC)"), "Aé€");
  EXPECT_EQ(text(R"(\ud83d\ude00)"), "😀");
  EXPECT_EQ(text(R"(\u0000)"), std::string(1, '\0'));
  // Halves of a pair, alone or in the wrong order, become one replacement character each.
  EXPECT_EQ(text(R"(a\ud83db)"), "a\uFFFDb");
  EXPECT_EQ(text(R"(\ude00)"), "\uFFFD");
  EXPECT_EQ(text(R"(\ud83d\u0041)"), "\uFFFDA");
  EXPECT_EQ(text(R"(\ud83d\ud83d\ude00)"), "\uFFFD😀");
}

TEST(TextField, SaysWhyThereIsNoText) {
  EXPECT_THAT(ReadTextField("{}", "text").problem, HasSubstr("no field \"text\""));
  EXPECT_THAT(ReadTextField("{\"text\": 5}", "text").problem, HasSubstr("not a string"));
  EXPECT_THAT(ReadTextField("{\"text\": {\"text\": \"a\"}}", "text").problem, HasSubstr("not a string"));
  EXPECT_THAT(ReadTextField("{\"text\": \"\xe9\"}", "text").problem, HasSubstr("not UTF-8"));
  for (const char* json : {"{}", "{\"text\": 5}", "{\"text\": \"\xe9\"}"}) {
    EXPECT_EQ(ReadTextField(json, "text").state, State::kNoText) << json;
  }
}

TEST(TextField, RefusesWhatIsNoObject) {
  for (const char* json :
       {"[1]", "\"text\"", "{text: 1}", "{\"a\" 1}", "{\"a\": 1 \"b\": 2}", "{\"a\": 1,}", "{\"a\": [1}",
        "{\"a\": [1}]", "{\"a\": }", "{\"a\": [1 2]}", "{\"text\": \"a\nb\"}", "{\"text\": \"\t\"}",
        "{\"text\": \"\\x41\"}", "{\"text\": \"\\u00g0\"}", "{\"a\": \"line\nend\"}", "{\"a\": {1: 2}}"}) {
    EXPECT_EQ(ReadTextField(json, "text").state, State::kMalformed) << json;
    EXPECT_THAT(ReadTextField(json, "text").problem, HasSubstr("expected ")) << json;
  }
}

TEST(TextField, EveryBeginningIsUnfinished) {
  const std::string json =
      R"({"a": [1, {"b": "\ud83d\ude00"}, [[], {}], -1.5e3], "text": "x\u0041\n\ud83d\ude00", "c": null})";
  ASSERT_EQ(ReadTextField(json, "text").state, State::kText);
  for (std::size_t length = 0; length < json.size(); ++length) {
    EXPECT_EQ(ReadTextField(json.substr(0, length), "text").state, State::kUnfinished) << length;
  }
}

// Depth costs neither stack nor time.
TEST(TextField, BearsAnyDepth) {
  const std::string open(3'000'000, '['), close(3'000'000, ']');
  EXPECT_EQ(ReadTextField("{\"a\": " + open + close + ", \"text\": \"deep\"}", "text").text, "deep");
  EXPECT_EQ(ReadTextField("{\"a\": " + open, "text").state, State::kUnfinished);
  std::string objects;
  for (int i = 0; i < 500'000; ++i) objects += "{\"a\":";
  EXPECT_EQ(ReadTextField(objects, "text").state, State::kUnfinished);
}

}  // namespace
}  // namespace longspan
