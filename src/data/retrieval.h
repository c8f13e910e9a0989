// Training text that teaches a model to look things up in its window. A small model does not learn that from
// books alone, because distant text seldom helps to predict the next word.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/random.h"
#include "data/encoder.h"
#include "data/passkey.h"

namespace longspan {

struct ScoredText {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> scored;  // whether a token is one to be predicted
};

class Retrieval {
 public:
  explicit Retrieval(const TextEncoder& encoder);

  // A passkey prompt and its answer: at most `length` tokens, and only a few fewer. Neither filler nor the
  // key's first mention is scored.
  ScoredText PasskeyText(std::int64_t length, Random& random) const;

  // A real text with sentences hidden in it ("The code of the river is 4821.") that are asked for later on:
  // at most `length` tokens. `text(n)` gives n tokens of a document, or all it has. Everything is scored
  // except the first appearance of each number, which nothing could predict.
  using TextFn = std::function<std::vector<std::int32_t>(std::int64_t)>;
  ScoredText HiddenSentences(std::int64_t length, const TextFn& text, Random& random) const;

  // Random tokens that are repeated, at once or after some of the text. Only looking back predicts the
  // repetition. The repetition and the text are scored, the first appearance is not. A model learns to copy
  // from these long before it would from questions (Olsson et al. 2022 on induction heads). At most `length`
  // tokens.
  ScoredText Echo(std::int64_t length, const TextFn& text, Random& random) const;

  // How long an Echo should be in a row with this much room. Short ones are as frequent as long ones, because
  // a model learns to look back over short distances first.
  std::int64_t DrawEchoLength(std::int64_t room, Random& random) const;

  // An Echo shorter than this repeats nothing.
  std::int64_t LeastEcho() const;

  // Below this there is no room for a passkey or a sentence and its question.
  std::int64_t MinLength() const { return min_length_; }

 private:
  struct Insertion {
    std::int64_t place;  // before this token of the text
    NumberSentence sentence;
    bool answer;  // whether its number is the answer to a question
  };
  std::vector<Insertion> DrawSentences(std::int64_t length, Random& random) const;
  std::int64_t SentenceEnd(const std::vector<std::int32_t>& text, std::int64_t place) const;

  TextEncoder encoder_;
  Passkey passkey_;
  std::vector<std::int32_t> stops_;  // tokens that end a sentence or a line
  std::int64_t min_length_;
};

}  // namespace longspan
