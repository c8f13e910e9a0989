#include "data/text_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace longspan {
namespace {

using testing::HasSubstr;

TextFormat Find(std::string_view front, const char* name) { return FindTextFormat(front, name, "text"); }

constexpr std::string_view kLines = "{\"text\": \"a\"}\n{\"text\": \"b\"}\n";
constexpr std::string_view kArray = "[{\"text\": \"a\"}, {\"text\": \"b\"}]";
constexpr std::string_view kPretty = "{\n  \"text\": \"a\"\n}\n";

TEST(TextFormat, ContentsDecideWhateverTheName) {
  for (const char* name :
       {"a.jsonl", "A.JSONL", "a.json", "a.ndjson", "a.json.gz", "a.txt", "a", "a.jsonl.zst"}) {
    EXPECT_EQ(Find(kLines, name), TextFormat::kJsonLines) << name;
    EXPECT_EQ(Find("\xEF\xBB\xBF \n" + std::string(kLines), name), TextFormat::kJsonLines) << name;
    EXPECT_EQ(Find(kArray, name), TextFormat::kJsonValues) << name;
    EXPECT_EQ(Find(kPretty, name), TextFormat::kJsonValues) << name;
    EXPECT_EQ(Find("{\"text\": \"one\"}", name), TextFormat::kJsonLines) << name;
  }
}

TEST(TextFormat, TextThatLooksLikeJsonIsText) {
  for (const char* text : {"{ block }", "{% if x %}", "[1] A reference", "[link](to)", "{\"text\": broken",
                           "{", "{\"name\": \"a package\"}", "[{\"a\": 1}]", "", "Once upon a time"}) {
    EXPECT_EQ(Find(text, "a.txt"), TextFormat::kText) << text;
  }
}

TEST(TextFormat, ANameThatPromisesJsonIsTakenAtItsWord) {
  for (const char* text :
       {"garbage\n{\"text\": \"a\"}", "{\"text\": \"breaks off\n{\"text\": \"b\"}\n",
        "{\"text\": \"breaks off\"\n{\"text\": \"b\"}\n",
        "{\"text\": \"a\", \"meta\": {\"b\": 1}\n{\"text\": \"b\"}\n", "{\"name\": \"other\"}\n"}) {
    EXPECT_EQ(Find(text, "a.jsonl"), TextFormat::kJsonLines) << text;
  }
  EXPECT_EQ(Find("[{\"text\": broken}, {\"text\": \"b\"}]", "a.json"), TextFormat::kJsonValues);
  EXPECT_EQ(Find("[]", "a.json"), TextFormat::kJsonValues);
}

TEST(TextFormat, AFirstObjectMayBeLongerThanTheProbe) {
  const std::string line = ("{\"text\": \"" + std::string(kFormatProbe, 'x')).substr(0, kFormatProbe);
  const std::string pretty = ("{\n\"text\": \"" + std::string(kFormatProbe, 'x')).substr(0, kFormatProbe);
  for (const char* name : {"a.jsonl", "a"}) {
    EXPECT_EQ(Find(line, name), TextFormat::kJsonLines) << name;
    EXPECT_EQ(Find(pretty, name), TextFormat::kJsonValues) << name;
  }
}

TEST(TextFormat, SaysWhatOtherFilesAre) {
  EXPECT_THAT(NotText("\xFF\xFEO\0n\0"), HasSubstr("UTF-16"));
  EXPECT_THAT(NotText("PAR1\x15\x04"), HasSubstr("Parquet"));
  EXPECT_THAT(NotText("version https://git-lfs.github.com/spec/v1\n"), HasSubstr("git lfs pull"));
  EXPECT_THAT(NotText(std::string("\x7f\x45LF\0\0", 6)), HasSubstr("binary"));
  EXPECT_EQ(NotText("plain"), "");
  EXPECT_EQ(Find(std::string("\x7f\x45LF\0\0", 6), "a.txt"), TextFormat::kOther);
  EXPECT_EQ(Find(std::string("{\0\"\0", 4), "a.json"), TextFormat::kOther);
  EXPECT_EQ(Find(std::string("{\"a\0\"}\n{}", 9), "a.json"), TextFormat::kJsonLines);
}

}  // namespace
}  // namespace longspan
