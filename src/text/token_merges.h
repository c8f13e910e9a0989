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

// Every pair of tokens that together are a token, by the place of that token in `order`, then by the left id
// and the right. Empty strings take no part. This is the list that Hugging Face has of a tiktoken file.
// Error(kUnsupported), naming `file`, beyond kMaxMerges pairs or for a token too long to take apart.
std::vector<TokenPair> AllMerges(std::span<const std::string_view> tokens,
                                 std::span<const std::int32_t> order, const std::string& file);

// The same by the score of that token, best first. SentencePiece joins tokens of equal score from the left.
// For runs of one character, that is the same as the longest left part first, as in Hugging Face's list.
std::vector<TokenPair> MergesFromScores(std::span<const std::string_view> tokens,
                                        std::span<const float> scores, const std::string& file);

inline constexpr std::size_t kMaxMerges = std::size_t{1} << 22;

// Scores by id that make joining by score the same as joining by `merges`: 0 for what is made first, then -1,
// and so on; tokens that no pair makes come after these. An empty string has the score 0.
// Error(kUnsupported), naming `file`, if no scores have this list as their MergesFromScores.
std::vector<float> ScoresFromMerges(std::span<const std::string_view> tokens,
                                    std::span<const TokenPair> merges, const std::string& file);

}  // namespace longspan
