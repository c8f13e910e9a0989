#include "text/symbol_merger.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace longspan {
namespace {

// Symbols are lengths. A table says which texts joins may give, and their ranks.
struct Table {
  std::string_view word;
  const std::map<std::string, std::uint32_t, std::less<>>& ranks;

  static std::int64_t Size(std::int32_t symbol) { return symbol; }
  std::optional<SymbolCells::Join> Find(std::int64_t at, std::int32_t left, std::int32_t right) const {
    const auto found = ranks.find(word.substr(at, left + right));
    if (found == ranks.end()) return std::nullopt;
    return SymbolCells::Join{found->second, left + right};
  }
};

std::vector<std::string> Merged(const Table& table, std::size_t capacity) {
  SymbolCells cells(table.word.size());
  for (std::size_t i = 0; i < table.word.size(); ++i) cells.Append(1, 1);
  cells.Merge(table, capacity);
  std::vector<std::string> symbols;
  cells.ForEach(table, [&](std::int64_t at, std::int32_t symbol) {
    symbols.emplace_back(table.word.substr(at, symbol));
  });
  return symbols;
}

// The definition: looks at all pairs, joins the best, and begins again.
std::vector<std::string> MergedSlowly(const Table& table) {
  std::vector<std::string> symbols;
  for (const char c : table.word) symbols.emplace_back(1, c);
  for (;;) {
    std::size_t best = symbols.size();
    std::uint32_t best_rank = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = table.ranks.find(symbols[i] + symbols[i + 1]);
      if (found == table.ranks.end() || (best < symbols.size() && found->second >= best_rank)) continue;
      best = i;
      best_rank = found->second;
    }
    if (best == symbols.size()) return symbols;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(SymbolMerger, JoinsTheBestFirstHoweverSmallTheQueue) {
  std::mt19937 random(5);
  const auto text = [&](std::size_t least, std::size_t most) {
    std::string letters(least + random() % (most - least + 1), 'a');
    for (char& c : letters) c = static_cast<char>('a' + random() % 3);
    return letters;
  };
  for (int round = 0; round < 300; ++round) {
    // Ranks in any order, and shared: longer tokens may well come before those that they are made of.
    std::map<std::string, std::uint32_t, std::less<>> ranks;
    for (std::size_t i = random() % 40; i > 0; --i) ranks[text(2, 5)] = random() % 20;
    const std::string word = text(0, 60);
    const Table table{word, ranks};
    const auto expected = MergedSlowly(table);
    for (const std::size_t capacity : {1, 2, 7, 1000}) EXPECT_EQ(Merged(table, capacity), expected) << word;
  }
}

TEST(SymbolMerger, SymbolsMayBeginLongerThanAByte) {
  const std::map<std::string, std::uint32_t, std::less<>> ranks{{"abc", 0}, {"abcde", 1}};
  const std::string word = "abcdeab";
  const Table table{word, ranks};
  SymbolCells cells(word.size());
  for (const std::size_t size : {2, 1, 2, 2}) cells.Append(static_cast<std::int32_t>(size), size);
  cells.Merge(table);
  std::vector<std::int32_t> sizes;
  cells.ForEach(table, [&](std::int64_t, std::int32_t size) { sizes.push_back(size); });
  EXPECT_EQ(sizes, (std::vector<std::int32_t>{5, 2}));
}

TEST(BoundedQueue, KeepsTheSmallest) {
  BoundedQueue queue(4);
  for (std::uint64_t key = 100; key > 0; --key) queue.Push(key);
  EXPECT_FALSE(queue.complete());
  std::uint64_t last = 0;
  for (; !queue.empty(); ++last) EXPECT_EQ(queue.Pop(), last + 1);
  EXPECT_GE(last, 4u);
  EXPECT_LT(last, 8u);
  queue.Push(1000);
  EXPECT_TRUE(queue.empty());
  queue.Reopen();
  queue.Push(1000);
  EXPECT_FALSE(queue.empty());
}

}  // namespace
}  // namespace longspan
