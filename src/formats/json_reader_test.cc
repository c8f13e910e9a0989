#include "formats/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/testing/expect_error.h"

namespace longspan {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Refusal(const std::string& text, const JsonLimits& limits = {}) {
  return ErrorOf([&] { ParseJson(text, "f.json", limits); });
}

double Seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

TEST(JsonReader, ReadsWhatTheLibraryReads) {
  for (const char* text :
       {"null", "3", "-4.5e3", R"("a\u00e9\n")", "[]", "{}",
        R"([1, [2, [3, {}]], {"a": [true, false, null]}])",
        R"({"b": {"c": {"d": [{}, {"e": 18446744073709551615}]}}, "a": -9223372036854775808})"}) {
    EXPECT_EQ(ParseJson(text, "f.json"), json::parse(text)) << text;
  }
}

TEST(JsonReader, SaysWhatIsWrong) {
  EXPECT_THAT(Refusal("{\"a\": 1,}"), HasSubstr("f.json: not JSON: parse error at line 1"));
  EXPECT_THAT(Refusal("[1e999]"), HasSubstr("f.json: not JSON"));
  EXPECT_THAT(Refusal("[1] 2"), HasSubstr("f.json: not JSON"));
  EXPECT_THAT(Refusal("\"\xff\""), HasSubstr("f.json: not JSON"));
  EXPECT_THAT(Refusal(R"({"a": 1, "b": {"c": 1, "c": 2}})"), HasSubstr("\"c\" appears twice"));
  EXPECT_EQ(Refusal(R"([{"a": 1}, {"a": 2}])"), "");
}

TEST(JsonReader, KeepsItsLimits) {
  EXPECT_THAT(Refusal("[1, 2, 3]", {.bytes = 8}), HasSubstr("9 bytes of JSON"));
  EXPECT_THAT(Refusal("[1, 2, 3]", {.values = 3}), HasSubstr("more than 3"));
  EXPECT_EQ(Refusal("[1, 2, 3]", {.values = 4}), "");
  EXPECT_EQ(Refusal("[[[]]]", {.depth = 3}), "");
  EXPECT_THAT(Refusal(R"([{"a": []}])", {.depth = 2}), HasSubstr("deeper than 2"));
  EXPECT_THAT(Refusal(std::string(1000000, '[')), HasSubstr("deeper than 32"));
}

// Parts that the filter sees and does not keep: values, members and lists.
TEST(JsonReader, AFilterKeepsWhatItWants) {
  std::vector<std::string> keys;
  const auto without = [&](const JsonFilter& filter) {
    return ParseJson(R"({"long": [1, {"a": 2}, 3], "b": {"c": 4, "long": 5}, "d": [6, 7]})", "f.json", {},
                     filter);
  };
  EXPECT_EQ(without([&](int depth, JsonEvent event, json& value) {
              if (event == JsonEvent::key) keys.push_back(std::to_string(depth) + value.get<std::string>());
              return event != JsonEvent::key || value != "long";
            }),
            json::parse(R"({"b": {"c": 4}, "d": [6, 7]})"));
  EXPECT_THAT(keys, ElementsAre("1long", "1b", "2c", "2long", "1d"));
  EXPECT_EQ(without([](int, JsonEvent event, json&) { return event != JsonEvent::array_start; }),
            json::parse(R"({"b": {"c": 4, "long": 5}})"));
  EXPECT_EQ(without([](int, JsonEvent event, json&) { return event != JsonEvent::value; }),
            json::parse(R"({"long": [{}], "b": {}, "d": []})"));
  std::vector<json> objects;
  EXPECT_EQ(without([&](int depth, JsonEvent event, json& value) {
              if (event != JsonEvent::object_end || depth == 0) return true;
              objects.push_back(value);
              return false;
            }),
            json::parse(R"({"long": [1, 3], "d": [6, 7]})"));
  EXPECT_THAT(objects, ElementsAre(json{{"a", 2}}, json{{"c", 4}, {"long", 5}}));
}

TEST(JsonReader, WhatIsNotKeptCountsForNothing) {
  std::string text = "[";
  for (int i = 0; i < 100; ++i) text += R"({"a": [1, 2, 3]}, )";
  text += "0]";
  const auto drop = [](int depth, JsonEvent event, json&) {
    return event != JsonEvent::object_end || depth != 1;
  };
  EXPECT_EQ(ParseJson(text, "f.json", {.values = 10}, drop), json::parse("[0]"));
  EXPECT_THAT(Refusal(text, {.values = 10}), HasSubstr("more than 10"));
}

// A megabyte of empty objects once took minutes, because the end of each one searched its whole parent.
TEST(JsonReader, TimeIsLinearInTheText) {
  std::string list = "[{}", members = R"({"m": {})";
  for (int i = 0; i < 400000; ++i) list += ",{}";
  for (int i = 0; i < 400000; ++i) members += ",\"" + std::to_string(i) + "\":[]";
  EXPECT_LT(Seconds([&] { EXPECT_EQ(ParseJson(list + "]", "f.json").size(), 400001u); }), 60);
  EXPECT_LT(Seconds([&] { EXPECT_EQ(ParseJson(members + "}", "f.json").size(), 400001u); }), 60);
}

TEST(JsonReader, SurvivesFlippedBytes) {
  const std::string whole = R"({"a": [1, -2.5, "x\n", null, true], "b": {"c": {}, "d": [[]]}})";
  Random random(3, 0, RandomPurpose::kTest);
  for (int trial = 0; trial < 5000; ++trial) {
    std::string bent = whole;
    bent[random.Below(std::ssize(bent))] = static_cast<char>(random.Below(256));
    const std::string refusal = Refusal(bent);
    if (refusal.empty()) {
      EXPECT_EQ(ParseJson(bent, "f.json"), json::parse(bent)) << bent;
    }
  }
}

}  // namespace
}  // namespace longspan
