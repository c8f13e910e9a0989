#include "text/token_merges.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <unordered_map>

#include "base/error.h"
#include "formats/byte_reader.h"

namespace longspan {
namespace {

// Taking a token apart looks at each of its splits, so the time grows with the square of its length. The
// longest of published vocabularies have some hundreds of bytes.
constexpr std::size_t kLongestToken = 1024;

std::unordered_map<std::string_view, std::int32_t> IdsOf(std::span<const std::string_view> tokens) {
  std::unordered_map<std::string_view, std::int32_t> ids;
  ids.reserve(tokens.size());
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) ids.try_emplace(tokens[id], static_cast<std::int32_t>(id));
  }
  return ids;
}

// The ids of `merges`' tokens in the order in which they are made. Each token's pairs must follow one
// another.
std::vector<std::int32_t> OrderOfMaking(std::span<const TokenPair> merges, std::size_t tokens,
                                        std::span<const std::string_view> names, const std::string& file) {
  std::vector<std::int32_t> order;
  std::vector<bool> seen(tokens, false);
  for (const TokenPair& pair : merges) {
    if (!order.empty() && order.back() == pair.joined) continue;
    const auto joined = static_cast<std::size_t>(pair.joined);
    if (seen[joined]) {
      Fail(ErrorKind::kUnsupported,
           "{}: the merges that make \"{}\" stand apart, so no SentencePiece scores can stand for them", file,
           Printable(names[joined]));
    }
    seen[joined] = true;
    order.push_back(pair.joined);
  }
  return order;
}

}  // namespace

std::vector<TokenPair> AllMerges(std::span<const std::string_view> tokens,
                                 std::span<const std::int32_t> order, PairOrder pair_order,
                                 const std::string& file) {
  const auto ids = IdsOf(tokens);
  std::vector<TokenPair> merges;
  for (const std::int32_t joined : order) {
    const std::string_view token = tokens[static_cast<std::size_t>(joined)];
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
      Fail(ErrorKind::kUnsupported, "{}: more than {} pairs of tokens are tokens", file, kMaxMerges);
    if (pair_order == PairOrder::kById) {
      std::sort(merges.begin() + static_cast<std::ptrdiff_t>(first), merges.end(),
                [](const TokenPair& a, const TokenPair& b) {
                  return std::tie(a.left, a.right) < std::tie(b.left, b.right);
                });
    }
  }
  return merges;
}

std::vector<float> ScoresFromMerges(std::span<const std::string_view> tokens,
                                    std::span<const TokenPair> merges, const std::string& file) {
  const std::vector<std::int32_t> made = OrderOfMaking(merges, tokens.size(), tokens, file);
  std::vector<std::int32_t> all(tokens.size());
  std::iota(all.begin(), all.end(), 0);
  const auto by_token = [](const TokenPair& a, const TokenPair& b) {
    return std::tie(a.joined, a.left, a.right) < std::tie(b.joined, b.left, b.right);
  };
  std::vector<TokenPair> given(merges.begin(), merges.end());
  std::sort(given.begin(), given.end(), by_token);
  for (const TokenPair& pair : AllMerges(tokens, all, PairOrder::kById, file)) {
    if (std::binary_search(given.begin(), given.end(), pair, by_token)) continue;
    Fail(ErrorKind::kUnsupported,
         "{}: \"{}\" and \"{}\" together are a token and yet no merge, so no SentencePiece scores can stand "
         "for "
         "the merges",
         file, Printable(tokens[static_cast<std::size_t>(pair.left)]),
         Printable(tokens[static_cast<std::size_t>(pair.right)]));
  }

  std::vector<float> scores(tokens.size(), 0.0f);
  std::vector<bool> scored(tokens.size(), false);
  float next = 0.0f;
  const auto score = [&](std::int32_t id) {
    const auto i = static_cast<std::size_t>(id);
    if (scored[i] || tokens[i].empty()) return;
    scored[i] = true;
    scores[i] = next;
    next -= 1.0f;  // exact: there are fewer tokens than floats count
  };
  for (const std::int32_t id : made) score(id);
  for (const std::int32_t id : all) score(id);
  return scores;
}

}  // namespace longspan
