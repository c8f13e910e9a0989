#include "text/token_trie.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "base/error.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

using Found = std::vector<std::pair<std::size_t, std::int32_t>>;

Found PrefixesOf(const TokenTrie& trie, std::string_view text) {
  Found found;
  trie.ForEachPrefix(text, [&](std::size_t length, std::span<const std::int32_t> tokens) {
    for (const std::int32_t id : tokens) found.emplace_back(length, id);
  });
  return found;
}

TEST(TokenTrie, FindsAllThatATextBeginsWith) {
  const TokenTrie trie({{"ab", 8}, {"a", 7}, {"cd", 9}, {"abcdef", 3}, {"", 1}, {"ab", 2}});
  EXPECT_THAT(PrefixesOf(trie, "abcd"), ElementsAre(Pair(1, 7), Pair(2, 2), Pair(2, 8)));
  EXPECT_THAT(PrefixesOf(trie, "abcdefg"), ElementsAre(Pair(1, 7), Pair(2, 2), Pair(2, 8), Pair(6, 3)));
  EXPECT_THAT(PrefixesOf(trie, "c"), IsEmpty());
  EXPECT_THAT(PrefixesOf(trie, ""), IsEmpty());
  EXPECT_THAT(PrefixesOf(TokenTrie(), "a"), IsEmpty());
}

TEST(TokenTrie, CanBeWalked) {
  const std::string bytes("\xFF\0", 2);
  const TokenTrie trie({{"b", 1}, {bytes, 2}, {"ba", 3}});
  EXPECT_THAT(trie.Bytes(TokenTrie::kRoot), ElementsAre('b', 0xFF));
  const TokenTrie::Node b = trie.Child(TokenTrie::kRoot, 'b');
  EXPECT_EQ(b, trie.FirstChild(TokenTrie::kRoot));
  EXPECT_THAT(trie.Tokens(b), ElementsAre(1));
  EXPECT_THAT(trie.Tokens(trie.Child(b, 'a')), ElementsAre(3));
  EXPECT_EQ(trie.Child(b, 'b'), TokenTrie::kNone);
  EXPECT_THAT(trie.Tokens(trie.Child(trie.Child(TokenTrie::kRoot, 0xFF), 0)), ElementsAre(2));
  EXPECT_THAT(trie.Tokens(TokenTrie::kRoot), IsEmpty());
  EXPECT_EQ(trie.nodes(), 5);
}

TEST(TokenTrie, IsASetOfStrings) {
  std::mt19937 random(1);
  const auto word = [&](std::size_t longest) {
    std::string text(random() % (longest + 1), 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 3);
    return text;
  };
  for (int round = 0; round < 50; ++round) {
    std::vector<std::string> tokens(random() % 60);
    for (std::string& token : tokens) token = word(6);
    std::vector<TokenTrie::Entry> entries;
    for (std::size_t id = 0; id < tokens.size(); ++id)
      entries.push_back({tokens[id], static_cast<std::int32_t>(id)});
    const TokenTrie trie(entries);
    for (int text = 0; text < 50; ++text) {
      const std::string any = word(10);
      Found expected;
      for (std::size_t length = 1; length <= any.size(); ++length) {
        for (std::size_t id = 0; id < tokens.size(); ++id) {
          if (tokens[id] == any.substr(0, length)) expected.emplace_back(length, static_cast<int>(id));
        }
      }
      EXPECT_EQ(PrefixesOf(trie, any), expected);
    }
  }
}

TEST(TokenTrie, HasALimit) {
  const std::string huge(TokenTrie::kMaxBytes, 'a');
  EXPECT_THROW(TokenTrie({{huge, 0}, {"b", 1}}), Error);
}

}  // namespace
}  // namespace longspan
