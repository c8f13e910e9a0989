// Speculative decoding (Leviathan et al. 2023, "Fast inference from transformers via speculative decoding"):
// a drafter guesses the next tokens, the model reads them in one forward pass, and those that it would have
// written itself are kept. Decoding waits for memory, so that a pass over a few tokens takes little longer
// than over one.
//
// What is written is what plain decoding writes with the same sampler, greedy or not: Session draws every
// token from the model's own logits, in order, and a guess is kept only where it is the token drawn. Their
// rule, which accepts by the ratio of two probabilities, keeps more guesses at high temperatures, but writes
// another text. Reading several tokens at once may round differently from reading one, and may so decide
// between two tokens that are almost equally likely.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "infer/loaded_model.h"
#include "infer/sequence.h"
#include "infer/session.h"
#include "text/tokenizer.h"

namespace longspan {

// Guesses how one sequence goes on.
class Drafter {
 public:
  virtual ~Drafter() = default;

  // Reads a prompt beforehand, so that the first draft need not. Error(kCancelled).
  virtual void Prefill(std::span<const std::int32_t> /*prompt*/) {}

  // At most `limit` tokens to follow `tokens`, the sequence so far; none where no guess is worth its cost.
  // Valid until the next call. Between two calls the sequence grew, or was cut back and grew.
  virtual std::span<const std::int32_t> Draft(std::span<const std::int32_t> tokens, std::int64_t limit) = 0;

  // Says that exactly the first `count` tokens of the last draft, which was not empty, were right. Not called
  // for a draft that the end of the text left undecided.
  virtual void Accepted(std::int64_t count) = 0;
};

// Prompt lookup decoding (Saxena 2023): guesses that the last few tokens go on as they did earlier in the
// text. It needs no second model, and pays where text repeats: editing, code, quotations.
//
// Of all earlier places that end in the last two tokens it takes the one that agrees with the most tokens
// before them, and of equals the latest.
class PromptLookup : public Drafter {
 public:
  // Together with the token that they follow, these are 16 rows, which the tile unit reads at once.
  static constexpr std::int64_t kMostTokens = 15;

  std::span<const std::int32_t> Draft(std::span<const std::int32_t> tokens, std::int64_t limit) override;
  void Accepted(std::int64_t count) override;

 private:
  struct Match {
    std::int64_t end = 0;     // the token after the earlier place
    std::int64_t length = 0;  // how many tokens agree; 0: there is no such place
  };

  void Index(std::span<const std::int32_t> tokens);
  Match Find(std::span<const std::int32_t> tokens) const;
  std::int64_t WorthGuessing(std::int64_t match_length) const;

  // Places are linked by their last two tokens, as in a Lempel-Ziv coder: the latest place of each pair, and
  // before each place the one before it. A place is the number of tokens up to its end.
  std::unordered_map<std::uint64_t, std::int64_t> latest_;
  std::vector<std::int64_t> previous_;  // by place; 0: none
  double right_ = 0, wrong_ = 0;        // recent guesses, older ones counting less
  std::vector<std::int32_t> draft_;
};

// Guesses greedily with a smaller model that has the same vocabulary.
class DraftModel : public Drafter {
 public:
  // Both outlive the drafter. It guesses `tokens` tokens at a time. A draft model need not be more exact than
  // the model it guesses for: load it with the same choice of activations, and give it a cache of the same
  // type.
  DraftModel(const Transformer& model, Type cache_type, std::int64_t tokens);
  DraftModel(Sequence& sequence, std::int64_t tokens);

  void Prefill(std::span<const std::int32_t> prompt) override { session_.PrefillShared(prompt); }
  std::span<const std::int32_t> Draft(std::span<const std::int32_t> tokens, std::int64_t limit) override;
  void Accepted(std::int64_t) override {}

 private:
  Session session_;
  Sampler greedy_;
  std::int64_t tokens_;
  std::vector<std::int32_t> draft_;
};

// Error(kBadOption), naming both files, unless the token ids of `draft` mean the same in `model`.
void CheckSameVocabulary(const LoadedModel& draft, const LoadedModel& model);

}  // namespace longspan
