// Training a byte-level BPE vocabulary: the most frequent pair of neighbouring symbols becomes a token, again
// and again (Sennrich et al. 2016), within the words of Llama 3's pre-tokenizer.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/progress.h"
#include "text/pre_tokenizer.h"
#include "text/vocabulary.h"

namespace longspan {

// Lets a map of strings be asked with a string_view.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

struct TrainBpeOptions {
  std::int32_t vocab_size = 4096;  // bytes, merges and special tokens together
  std::vector<std::string> special_tokens = {"<|begin_of_text|>", "<|end_of_text|>"};
  std::int64_t min_frequency = 2;    // rarer pairs are not merged, and the vocabulary may stay smaller
  std::size_t max_token_bytes = 32;  // so that rulers of dashes and the like do not become tokens
};

// Texts are added one by one and only their word counts are kept, so they may be larger than memory. The
// result depends on the counts alone: not on the order of texts, nor on any hash.
class BpeTrainer {
 public:
  BpeTrainer();
  void Add(std::string_view text);
  std::uint64_t bytes() const { return bytes_; }        // of text so far
  std::size_t words() const { return counts_.size(); }  // different ones

  // Ids are the 256 bytes in order, then tokens in the order of their merges, then special tokens. The first
  // special token is bos and the second eos. Error(kBadOption) where vocab_size leaves no room for them.
  Vocabulary Train(const TrainBpeOptions& options, Progress& progress = NoProgress()) const;

 private:
  PreTokenizer pre_tokenizer_;
  std::unordered_map<std::string, std::int64_t, StringHash, std::equal_to<>> counts_;
  std::uint64_t bytes_ = 0;
};

// Trains on texts at hand.
Vocabulary TrainBpe(std::span<const std::string> texts, const TrainBpeOptions& options = {},
                    Progress& progress = NoProgress());

}  // namespace longspan
