#include "text/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace longspan {
namespace {

using State = Utf8Char::State;

TEST(Utf8, ReadsWhatItWrites) {
  for (const char32_t code : {0x24u, 0x7Fu, 0x80u, 0xA3u, 0x7FFu, 0x800u, 0x20ACu, 0xD7FFu, 0xE000u, 0xFFFFu,
                              0x10000u, 0x10348u, 0x10FFFFu}) {
    std::string text;
    AppendUtf8(code, text);
    const Utf8Char c = FirstUtf8Char(text);
    EXPECT_EQ(c.state, State::kValid);
    EXPECT_EQ(c.code, code);
    EXPECT_EQ(c.length, text.size());
  }
}

TEST(Utf8, RefusesWhatIsNoCharacter) {
  for (const char* text : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                           "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xC3\x28", "\xE2\x82\x28"}) {
    EXPECT_EQ(FirstUtf8Char(text).state, State::kInvalid) << testing::PrintToString(text);
  }
}

TEST(Utf8, TellsUnfinishedFromInvalid) {
  EXPECT_EQ(FirstUtf8Char("\xF0\x9F\x98").state, State::kTruncated);
  EXPECT_EQ(UnfinishedUtf8Suffix("ab"), 0u);
  EXPECT_EQ(UnfinishedUtf8Suffix("ab\xE2"), 1u);
  EXPECT_EQ(UnfinishedUtf8Suffix("ab\xF0\x9F\x98"), 3u);
  EXPECT_EQ(UnfinishedUtf8Suffix("\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(UnfinishedUtf8Suffix("ab\xFF"), 0u);
  EXPECT_EQ(UnfinishedUtf8Suffix(""), 0u);
}

TEST(Utf8, FindsTheFirstInvalidByte) {
  EXPECT_EQ(ValidUtf8Prefix(""), 0u);
  EXPECT_EQ(ValidUtf8Prefix("twelve bytes"), 12u);
  EXPECT_EQ(ValidUtf8Prefix("twelve bytes \xC3\xA4 \xFF"), 16u);
  EXPECT_EQ(ValidUtf8Prefix("12345678\xFF"), 8u);
}

}  // namespace
}  // namespace longspan
