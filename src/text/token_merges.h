// Merges and scores. SentencePiece and tiktoken join any two neighbours that together are a token, the token
// of the best score or rank first; Hugging Face and GGUF's byte-level BPE have a list of pairs, best first.
// With every pair that makes a token on the list, in the order of the tokens, both do the same.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace longspan {

struct TokenPair {
  std::int32_t left, right, joined;
  bool operator==(const TokenPair&) const = default;
};

// Which of the pairs that make the same token stands first.
enum class PairOrder {
  kById,              // the left id, then the right: tiktoken files as Hugging Face converts them
  kLongestLeftFirst,  // SentencePiece files as Hugging Face converts them
};

// Every pair of tokens that together are a token, by the place of that token in `order`. Empty strings take
// no part. Error(kUnsupported), naming `file`, beyond kMaxMerges pairs or for a token too long to take apart.
std::vector<TokenPair> AllMerges(std::span<const std::string_view> tokens,
                                 std::span<const std::int32_t> order, PairOrder pair_order,
                                 const std::string& file);

inline constexpr std::size_t kMaxMerges = std::size_t{1} << 22;

// Scores by id with which joining by score is joining by `merges`: 0 for the token that is made first, then
// -1, and so on; a token that no pair makes comes after these. An empty string has no score but 0.
// Error(kUnsupported), naming `file`, where no scores can say it: a pair is missing, or tokens take turns.
std::vector<float> ScoresFromMerges(std::span<const std::string_view> tokens,
                                    std::span<const TokenPair> merges, const std::string& file);

}  // namespace longspan
