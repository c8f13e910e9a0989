#include "text/token_index.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace longspan {
namespace {

TEST(TokenIndex, FindsTheFirstOfEachText) {
  std::vector<std::string> texts;
  for (int i = 0; i < 5000; ++i) texts.push_back(std::to_string(i * i % 4001));
  TokenIndex index(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) index.Add(texts[i], static_cast<std::int32_t>(i));
  for (const std::string& text : texts) {
    const auto first = std::find(texts.begin(), texts.end(), text);
    EXPECT_EQ(index.Find(text), first - texts.begin());
  }
  for (const char* text : {"", "x", "-1", "4001", "longer than any"}) EXPECT_EQ(index.Find(text), -1);
}

TEST(TokenIndex, MayBeEmpty) {
  TokenIndex index(0);
  EXPECT_EQ(index.Find(""), -1);
  EXPECT_EQ(index.Find("a"), -1);
}

}  // namespace
}  // namespace longspan
