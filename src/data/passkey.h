// Passkey prompts: a random number hidden at some depth of a text, and the question for it at the end
// (Mohtashami & Jaggi 2023, arXiv 2305.16300). Eval asks them; training may mix them in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "data/encoder.h"

namespace longspan {

// Tokens of `text` as they come in the middle of a text, where a tokenizer adds no space of its own in front.
std::vector<std::int32_t> EncodeInside(const TextEncoder& encoder, std::string_view text);

// A sentence made around a number: " The pass key is" " 123" ".", in tokens.
struct NumberSentence {
  std::vector<std::int32_t> tokens;
  std::int64_t number_begin = 0, number_end = 0;  // of tokens
};
NumberSentence EncodeAround(const TextEncoder& encoder, const std::string& before, std::int64_t number,
                            std::string_view after);

struct TokenRange {
  std::int64_t begin = 0, end = 0;
};

struct PasskeyPrompt {
  std::int64_t key = 0;
  std::string answer;                       // the key in digits: the first integer of a right continuation
  std::vector<std::int32_t> tokens;         // begins with BOS where there is one, ends right before the key
  std::vector<std::int32_t> answer_tokens;  // the key and a full stop, as they follow `tokens`
  TokenRange task, key_line, key_in_line,
      question;  // parts of `tokens`; key_in_line is the key's first mention
};

class Passkey {
 public:
  static constexpr std::int64_t kMaxKey = 50000;

  // `filler` is the text that the key hides in, repeated as needed; where empty, the usual trivial sentences.
  explicit Passkey(const TextEncoder& encoder, std::string_view filler = {});

  // A prompt of exactly `length` tokens, whose key line stands at `depth` of the filler, 0 (front) to 1
  // (end), after the end of a sentence where one is near. Key and filler are drawn from `random`.
  // Error(kBadOption) where `length` is below MinLength or the depth outside 0 to 1.
  PasskeyPrompt Make(std::int64_t length, double depth, Random& random) const;

  // Enough tokens for the prompt of any key, with little or no filler.
  std::int64_t MinLength() const { return min_length_; }
  // Enough for any key's answer_tokens.
  std::int64_t MaxAnswerLength() const { return max_answer_length_; }

 private:
  struct Parts;
  Parts Encode(std::int64_t key) const;

  TextEncoder encoder_;
  std::vector<std::int32_t> task_;
  std::vector<std::int32_t> filler_;     // one round
  std::vector<std::int64_t> sentences_;  // where sentences of the round begin, in tokens
  std::int64_t min_length_ = 0, max_answer_length_ = 0;
};

}  // namespace longspan
