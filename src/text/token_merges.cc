#include "text/token_merges.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "formats/byte_reader.h"
#include "text/utf8.h"

namespace longspan {
namespace {

// Taking a token apart looks at each of its splits, so the time grows with the square of its length. The
// longest of published vocabularies, runs of spaces, have up to some 300 bytes.
constexpr std::size_t kLongestToken = 512;

std::unordered_map<std::string_view, std::int32_t> IdsOf(std::span<const std::string_view> tokens) {
  std::unordered_map<std::string_view, std::int32_t> ids;
  ids.reserve(tokens.size());
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) ids.try_emplace(tokens[id], static_cast<std::int32_t>(id));
  }
  return ids;
}

std::size_t Characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<std::uint8_t>(c) & 0xC0) != 0x80; }));
}

// The order of merges that make tokens of one score: the longer left part first, then the longer right part.
class LongestFirst {
 public:
  explicit LongestFirst(std::span<const std::string_view> tokens) {
    for (const std::string_view token : tokens) characters_.push_back(Characters(token));
  }
  bool operator()(const TokenPair& a, const TokenPair& b) const { return Key(a) > Key(b); }

 private:
  std::pair<std::size_t, std::size_t> Key(const TokenPair& pair) const {
    return {characters_[pair.left], characters_[pair.right]};
  }
  std::vector<std::size_t> characters_;
};

// Cuts `merges` wherever no token is made on both sides. The tokens that a piece makes have one score.
std::vector<std::span<const TokenPair>> ByScore(std::span<const TokenPair> merges, std::size_t tokens) {
  std::vector<std::size_t> last(tokens, 0);
  for (std::size_t i = 0; i < merges.size(); ++i) last[merges[i].joined] = i;
  std::vector<std::span<const TokenPair>> pieces;
  std::size_t begin = 0, end = 0;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    end = std::max(end, last[merges[i].joined] + 1);
    if (i + 1 < end) continue;
    pieces.push_back(merges.subspan(begin, end - begin));
    begin = end;
  }
  return pieces;
}

// Whether all these make runs of one character, as Llama 2's runs of spaces. Their scores are equal in
// SentencePiece's file, and converters have listed them in several orders that all join from the left.
bool AreRuns(std::span<const TokenPair> merges, std::span<const std::string_view> tokens) {
  const std::string_view first = tokens[merges[0].joined];
  const std::string_view character = first.substr(0, FirstUtf8Char(first).length);
  if (character.empty()) return false;
  return std::all_of(merges.begin(), merges.end(), [&](const TokenPair& pair) {
    std::string_view token = tokens[pair.joined];
    while (token.starts_with(character)) token.remove_prefix(character.size());
    return token.empty();
  });
}

// Fails unless every pair of tokens that is a token is among `merges`.
void CheckComplete(std::span<const std::string_view> tokens, std::span<const TokenPair> merges,
                   const std::string& file) {
  std::vector<std::int32_t> all(tokens.size());
  std::iota(all.begin(), all.end(), 0);
  const auto by_token = [](const TokenPair& a, const TokenPair& b) {
    return std::tie(a.joined, a.left, a.right) < std::tie(b.joined, b.left, b.right);
  };
  std::vector<TokenPair> given(merges.begin(), merges.end());
  std::sort(given.begin(), given.end(), by_token);
  for (const TokenPair& pair : AllMerges(tokens, all, file)) {
    if (std::binary_search(given.begin(), given.end(), pair, by_token)) continue;
    Fail(ErrorKind::kUnsupported,
         "{}: \"{}\" and \"{}\" make a token but are not a merge, so SentencePiece scores cannot express "
         "the merges",
         file, Printable(tokens[pair.left]), Printable(tokens[pair.right]));
  }
}

}  // namespace

std::vector<TokenPair> AllMerges(std::span<const std::string_view> tokens,
                                 std::span<const std::int32_t> order, const std::string& file) {
  const auto ids = IdsOf(tokens);
  std::vector<TokenPair> merges;
  for (const std::int32_t joined : order) {
    const std::string_view token = tokens[joined];
    if (token.size() > kLongestToken) {
      Fail(ErrorKind::kUnsupported, "{}: token {} has {} bytes; merges are made for tokens of up to {}", file,
           joined, token.size(), kLongestToken);
    }
    const std::size_t first = merges.size();
    for (std::size_t at = token.size(); at-- > 1;) {
      const auto left = ids.find(token.substr(0, at));
      if (left == ids.end()) continue;
      const auto right = ids.find(token.substr(at));
      if (right != ids.end()) merges.push_back({left->second, right->second, joined});
    }
    if (merges.size() > kMaxMerges)
      Fail(ErrorKind::kUnsupported, "{}: more than {} pairs of tokens make a token", file, kMaxMerges);
    std::sort(merges.begin() + static_cast<std::ptrdiff_t>(first), merges.end(),
              [](const TokenPair& a, const TokenPair& b) {
                return std::tie(a.left, a.right) < std::tie(b.left, b.right);
              });
  }
  return merges;
}

std::vector<TokenPair> MergesFromScores(std::span<const std::string_view> tokens,
                                        std::span<const float> scores, const std::string& file) {
  std::vector<std::int32_t> all(tokens.size());
  std::iota(all.begin(), all.end(), 0);
  std::vector<TokenPair> merges = AllMerges(tokens, all, file);
  const LongestFirst longest_first(tokens);
  std::stable_sort(merges.begin(), merges.end(), [&](const TokenPair& a, const TokenPair& b) {
    const float first = scores[a.joined];
    const float second = scores[b.joined];
    return first != second ? first > second : longest_first(a, b);
  });
  return merges;
}

std::vector<float> ScoresFromMerges(std::span<const std::string_view> tokens,
                                    std::span<const TokenPair> merges, const std::string& file) {
  CheckComplete(tokens, merges, file);
  constexpr float kNone = 1.0f;
  std::vector<float> scores(tokens.size(), kNone);
  float next = 0.0f;  // stays exact: floats count further than there are tokens
  const LongestFirst longest_first(tokens);
  for (const auto piece : ByScore(merges, tokens.size())) {
    const bool one = std::all_of(piece.begin(), piece.end(),
                                 [&](const TokenPair& pair) { return pair.joined == piece[0].joined; });
    if (!one && !std::is_sorted(piece.begin(), piece.end(), longest_first) && !AreRuns(piece, tokens)) {
      Fail(ErrorKind::kUnsupported,
           "{}: the merges that make \"{}\" stand apart, so SentencePiece scores cannot express them", file,
           Printable(tokens[piece[0].joined]));
    }
    for (const TokenPair& pair : piece) scores[pair.joined] = next;
    next -= 1.0f;
  }
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (scores[id] != kNone) continue;
    scores[id] = tokens[id].empty() ? 0.0f : next;
    if (!tokens[id].empty()) next -= 1.0f;
  }
  return scores;
}

}  // namespace longspan
