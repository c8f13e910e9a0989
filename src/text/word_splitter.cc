#include "text/word_splitter.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "text/character_table.h"

namespace longspan {
namespace {

using enum CharacterClass;

// How many of the first eight bytes at `at` are letters of ASCII.
int AsciiLetters(const char* at) {
  constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = kOnes * 0x80;
  std::uint64_t bytes;
  std::memcpy(&bytes, at, sizeof bytes);
  if constexpr (std::endian::native == std::endian::big) bytes = __builtin_bswap64(bytes);
  // The high bit of a byte tells about it; sums of seven bits do not reach the next byte.
  const std::uint64_t small = (bytes | kOnes * 0x20) & ~kHigh;
  const std::uint64_t from_a = small + kOnes * (0x80 - 'a'), beyond_z = small + kOnes * (0x7F - 'z');
  const std::uint64_t not_letters = (~from_a | beyond_z | bytes) & kHigh;
  return std::countr_zero(not_letters) / 8;  // 64 / 8 where all are
}

bool IsAsciiLetter(char c) {
  const int small = c | 0x20;
  return small >= 'a' && small <= 'z';
}

bool IsLineEnd(char c) { return c == '\r' || c == '\n'; }

// The words of a text from `begin` on.
template <WordRule kRule>
class Splitter {
 public:
  Splitter(const char* begin, const char* end) : at_(begin), end_(end) {}

  bool done() const { return at_ == end_; }

  // Returns where the word ends that begins where the last one ended.
  const char* Next() {
    at_ = WordEnd();
    return at_;
  }

 private:
  const char* WordEnd() const {
    // Nearly all words of most texts.
    if (*at_ == ' ' && end_ - at_ > 1 && IsAsciiLetter(at_[1])) return Letters(at_ + 2);
    const auto [type, length] = table_.At(at_);
    const char* const next = at_ + length;
    switch (type) {
      case kLetter: return Letters(next);
      case kNumber: return Numbers(next);
      case kSpace: return AfterSpace(next);
      case kOther: break;
    }
    if (*at_ == '\'') {
      if (const int contraction = Contraction(); contraction > 0) return at_ + contraction;
    }
    if (kRule.any_prefix && next < end_) {
      if (const auto second = table_.At(next); second.type == kLetter) return Letters(next + second.length);
    }
    return Others(next);
  }

  // The end of a run of letters from `at` on.
  const char* Letters(const char* at) const {
    for (;;) {
      if (end_ - at >= 8) {
        const int letters = AsciiLetters(at);
        at += letters;
        if (letters == 8) continue;
        if (static_cast<std::uint8_t>(*at) < 0x80) return at;
      }
      if (at == end_) return at;
      const auto [type, length] = table_.At(at);
      if (type != kLetter) return at;
      at += length;
    }
  }

  // The end of the numbers, of which one stands before `at`.
  const char* Numbers(const char* at) const {
    for (int i = 1; at < end_ && (kRule.digits == 0 || i < kRule.digits); ++i) {
      const auto [type, length] = table_.At(at);
      if (type != kNumber) break;
      at += length;
    }
    return at;
  }

  const char* Others(const char* at) const {
    while (at < end_) {
      const auto [type, length] = table_.At(at);
      if (type != kOther) break;
      at += length;
    }
    if constexpr (kRule.line_ends) {
      while (at < end_ && IsLineEnd(*at)) ++at;
    }
    return at;
  }

  // The end of a word whose first character, before `next`, is white space.
  const char* AfterSpace(const char* next) const {
    if (next == end_) return next;
    const auto [type, length] = table_.At(next);
    const bool plain = *at_ == ' ';
    switch (type) {
      case kLetter:
        if (kRule.any_prefix ? !IsLineEnd(*at_) : plain) return Letters(next + length);
        return next;
      case kNumber: return kRule.digits == 0 && plain ? Numbers(next + length) : next;
      case kOther: return plain ? Others(next + length) : next;
      case kSpace: return Spaces(next);
    }
    return next;
  }

  // The end of a word in a run of white space; one character of it stands before `at`, and one at it.
  const char* Spaces(const char* at) const {
    const char* last = at;  // where its last character begins
    const char* after_line_end = IsLineEnd(*at_) ? at : nullptr;
    CharacterClass follows = kSpace;
    while (at < end_) {
      const auto [type, length] = table_.At(at);
      follows = type;
      if (type != kSpace) break;
      last = at;
      at += length;
      if (IsLineEnd(*last)) after_line_end = at;
    }
    if (kRule.line_ends && after_line_end != nullptr) return after_line_end;
    // What follows the run may take its last character.
    if (at == end_ || (kRule.digits_first && follows == kNumber)) return at;
    return last;
  }

  // The length of the contraction at the apostrophe, or 0.
  int Contraction() const {
    if (end_ - at_ < 2) return 0;
    switch (Small(at_[1])) {
      case 's':
      case 't':
      case 'm':
      case 'd': return 2;
      case 'r':
      case 'v': return end_ - at_ > 2 && Small(at_[2]) == 'e' ? 3 : 0;
      case 'l': return end_ - at_ > 2 && Small(at_[2]) == 'l' ? 3 : 0;
      default: break;
    }
    // U+017F, an old form of s, of which S is the capital, too.
    return kRule.any_case && end_ - at_ > 2 && at_[1] == '\xC5' && at_[2] == '\xBF' ? 3 : 0;
  }

  static char Small(char c) {
    return kRule.any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }

  const CharacterTable& table_ = CharacterTable::Get();
  const char* at_;
  const char* const end_;
};

template <WordRule kRule>
void Split(std::size_t begin, std::size_t end, WordEnds& ends) {
  const char* const text = ends.text().data();
  Splitter<kRule> splitter(text + begin, text + end);
  while (!splitter.done()) ends.Push(static_cast<std::size_t>(splitter.Next() - text));
}

}  // namespace

void SplitGpt2Words(std::size_t begin, std::size_t end, WordEnds& ends) {
  Split<WordRule{}>(begin, end, ends);
}

void SplitLlama3Words(std::size_t begin, std::size_t end, WordEnds& ends) {
  Split<WordRule{.any_case = true, .any_prefix = true, .line_ends = true, .digits = 3}>(begin, end, ends);
}

void SplitQwen2Words(std::size_t begin, std::size_t end, WordEnds& ends) {
  Split<WordRule{.any_case = true, .any_prefix = true, .line_ends = true, .digits = 1}>(begin, end, ends);
}

void SplitSmolLmWords(std::size_t begin, std::size_t end, WordEnds& ends) {
  Split<WordRule{.digits = 1, .digits_first = true}>(begin, end, ends);
}

}  // namespace longspan
