#include "base/hash.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace longspan {
namespace {

std::uint64_t HashOf(std::string_view text) {
  Hash64 hash;
  hash.Update(text);
  return hash.value();
}

TEST(Hash64, DoesNotDependOnTheCuts) {
  std::string text;
  for (int i = 0; i < 61; ++i) text += static_cast<char>(i * 37);
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      Hash64 hash;
      hash.Update(std::string_view(text).substr(0, first));
      hash.Update(std::string_view(text).substr(first, second - first));
      hash.Update(std::string_view(text).substr(second));
      EXPECT_EQ(hash.value(), HashOf(text)) << first << " " << second;
    }
  }
}

TEST(Hash64, EveryBitAndTheLengthCount) {
  std::set<std::uint64_t> seen;
  std::string text(40, '\0');
  seen.insert(HashOf(text));
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    std::string changed = text;
    changed[bit / 8] = static_cast<char>(1 << bit % 8);
    EXPECT_TRUE(seen.insert(HashOf(changed)).second) << bit;
  }
  for (std::size_t length = 0; length < text.size(); ++length) {
    EXPECT_TRUE(seen.insert(HashOf(text.substr(0, length))).second) << length;
  }
}

}  // namespace
}  // namespace longspan
