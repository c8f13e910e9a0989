// A conversation with a model: read tokens, look at the logits, write tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/progress.h"
#include "infer/sampler.h"
#include "infer/sequence.h"
#include "infer/stop_reason.h"
#include "tensor/rows.h"

namespace longspan {

class Drafter;  // infer/speculation.h

// What the last Generate cost.
struct GenerateStats {
  std::int64_t passes = 0;    // forward passes of the model
  std::int64_t proposed = 0;  // tokens that a drafter guessed
  std::int64_t accepted = 0;  // of these, the ones that were right

  // 1 without a drafter.
  double TokensPerPass() const {
    return passes == 0 ? 0 : 1 + static_cast<double>(accepted) / static_cast<double>(passes);
  }
};

class Session {
 public:
  static constexpr std::int64_t kChunk = 512;  // tokens read at a time

  // `context` is the most tokens the sequence may hold; 0 takes the model's own window. `cache_type` is that
  // of its keys and values.
  explicit Session(const Transformer& model, std::int64_t context = 0, Type cache_type = Type::kF32);
  // A session over a sequence, which must outlive it and is emptied first.
  Session(Sequence& sequence, std::int64_t context);

  // Reads `tokens` after what has been read. Error(kBadOption) if they do not fit the context, before
  // anything is read; Error(kCancelled) between chunks.
  void Prefill(std::span<const std::int32_t> tokens, Progress& progress = NoProgress(),
               std::int64_t chunk = kChunk);

  // Makes `tokens` the whole of what has been read, and reads only what follows the prefix they share with
  // it.
  void PrefillShared(std::span<const std::int32_t> tokens, Progress& progress = NoProgress());

  // Logits [vocab_size] for the token after the last one read. Error(kInternal) before any was, and after a
  // Prefill that was stopped.
  std::span<const float> last_logits() const;

  // Writes tokens until `on_token` returns false or the options, the context or Ctrl-C say stop. A stop token
  // is not handed to `on_token`. The last token handed over may not yet have been read. With a drafter the
  // same tokens come in fewer passes.
  StopReason Generate(Sampler& sampler, const GenerateOptions& options,
                      const std::function<bool(std::int32_t)>& on_token, Drafter* drafter = nullptr);

  const GenerateStats& stats() const { return stats_; }

  std::int64_t context() const { return context_; }
  const std::vector<std::int32_t>& tokens() const { return tokens_; }  // all that was read

 private:
  Session(std::unique_ptr<Sequence> owned, std::int64_t context);
  void Read(std::span<const std::int32_t> tokens, std::int64_t after);
  void Step(std::int32_t token, std::int64_t most_guesses, Drafter* drafter);

  std::unique_ptr<Sequence> owned_;  // where the session made the sequence itself
  Sequence& sequence_;
  std::int64_t context_;
  std::vector<std::int32_t> tokens_;
  // What Generate's last pass read: a token, and a drafter's guesses of what follows. Those that proved right
  // are in `tokens_`; the sequence holds the others until the next Read.
  std::vector<std::int32_t> pass_;
  Matrix hidden_;         // [at most kChunk, dim]
  Matrix logits_;         // [1, vocab_size] of a prompt, [pass, vocab_size] of a pass
  std::int64_t row_ = 0;  // of logits_: the last token's
  GenerateStats stats_;
};

}  // namespace longspan
