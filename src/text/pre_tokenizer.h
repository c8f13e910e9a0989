// Cutting text into the words that byte-level BPE merges within.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace longspan {

// Thread-safe: Split may run in several threads at once.
class PreTokenizer {
 public:
  // `name` as in GGUF's tokenizer.ggml.pre. Error(kUnsupported) for one that longspan does not know.
  explicit PreTokenizer(std::string_view name);

  // Calls `each` with the words of `text` in order; they cover it without gaps. Bytes that are not UTF-8 are
  // words of their own.
  void Split(std::string_view text, const std::function<void(std::string_view)>& each) const;

  // Whether a word that is itself a token is taken as it is, unmerged, as Llama 3 does.
  bool takes_whole_words() const { return takes_whole_words_; }

 private:
  // Cuts by stage `stage` and those after it.
  void SplitValid(std::string_view text, std::size_t stage,
                  const std::function<void(std::string_view)>& each) const;

  std::vector<Regex> stages_;
  bool takes_whole_words_;
};

}  // namespace longspan
