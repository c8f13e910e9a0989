// Cutting text into the words that byte-level BPE merges within.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "text/pre_tokenizer_rules.h"
#include "text/regex.h"
#include "text/word_splitter.h"

namespace longspan {

// Thread-safe: Split may run in several threads at once.
class PreTokenizer {
 public:
  // `name` as in GGUF's tokenizer.ggml.pre. Error(kUnsupported) for one that longspan does not know.
  explicit PreTokenizer(std::string_view name) : PreTokenizer(FindPreTokenizerRule(name)) {}
  explicit PreTokenizer(const PreTokenizerRule& rule);

  // Calls `each` with batches of the words of `text` in order; they cover it without gaps. Bytes that are not
  // UTF-8 are words of their own.
  void Split(std::string_view text, WordEnds::Sink each) const;

  // The same, word by word.
  template <class Each>
  void ForEachWord(std::string_view text, Each&& each) const {
    Split(text, [&](const WordBatch& batch) {
      std::size_t begin = batch.begin;
      for (const std::size_t end : batch.ends) {
        each(batch.text.substr(begin, end - begin));
        begin = end;
      }
    });
  }

  // The first place in `text` at or after `from`, but not its beginning, that parts of it may be split at on
  // their own: both give the words that they give together. The end, if there is none.
  static std::size_t SafeCut(std::string_view text, std::size_t from);

  // Whether a word that is itself a token is taken as it is, unmerged, as Llama 3 does.
  bool takes_whole_words() const { return takes_whole_words_; }

 private:
  // Cuts `text`, a part of that of `ends`, by stage `stage` and those after it.
  void SplitByStages(std::string_view text, std::size_t stage, WordEnds& ends) const;

  SplitWords* split_words_;  // what the stages do, if it is known
  std::vector<Regex> stages_;
  bool takes_whole_words_;
};

}  // namespace longspan
