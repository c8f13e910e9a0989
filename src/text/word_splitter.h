// Cutting text into words by hand, for the pre-tokenizers whose regular expressions belong to one family:
// GPT-2's and its successors. It gives what PCRE2 gives for the expression, many times faster.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "base/function_ref.h"

namespace longspan {

// Words of a text, which follow each other: each ends at one of `ends`, counted from the beginning of `text`,
// and begins where the one before it ends, the first at `begin`.
struct WordBatch {
  std::string_view text;
  std::size_t begin;
  std::span<const std::size_t> ends;
};

// Collects the ends of words, and hands them on in batches. Whoever pushed the last one flushes.
class WordEnds {
 public:
  static constexpr std::size_t kMost = 256;  // in a batch
  using Sink = FunctionRef<void(const WordBatch&)>;

  WordEnds(std::string_view text, Sink sink) : text_(text), sink_(sink) {}
  std::string_view text() const { return text_; }

  void Push(std::size_t end) {
    ends_[size_++] = end;
    if (size_ == kMost) Flush();
  }
  void Flush() {
    if (size_ == 0) return;
    sink_({text_, begin_, std::span(ends_).first(size_)});
    begin_ = ends_[size_ - 1];
    size_ = 0;
  }

 private:
  std::string_view text_;
  Sink sink_;
  std::size_t begin_ = 0, size_ = 0;
  std::array<std::size_t, kMost> ends_;
};

// What the expressions of the family differ in. L are letters, N numbers, S white space, O all else.
struct WordRule {
  // Contractions are  's 't 're 've 'm 'll 'd  at a word's beginning, in both cases or small only.
  bool any_case = false;
  // The letters of a word may follow  [^\r\n L N]?  rather than  " "?
  bool any_prefix = false;
  // O+ takes the line ends that follow, and  S*[\r\n]+  is a word.
  bool line_ends = false;
  int digits = 0;  // the most numbers in a word; 0: as many as there are, after an optional space
  // Each number is cut out before all else, so that the text before it ends there.
  bool digits_first = false;
};

// Pushes the ends of the words of `ends.text()` from `begin` to `end`, which is valid UTF-8.
using SplitWords = void(std::size_t begin, std::size_t end, WordEnds& ends);

// The expressions in text/pre_tokenizer_rules.cc of these names.
SplitWords SplitGpt2Words, SplitLlama3Words, SplitQwen2Words, SplitSmolLmWords;

}  // namespace longspan
