#include "infer/session.h"

#include <algorithm>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "infer/speculation.h"

namespace longspan {

Session::Session(const Transformer& model, std::int64_t context, Type cache_type)
    : Session(std::make_unique<TransformerSequence>(model, cache_type),
              context > 0 ? context : model.config().context) {}

Session::Session(std::unique_ptr<Sequence> owned, std::int64_t context)
    : owned_(std::move(owned)), sequence_(*owned_), context_(context) {}

Session::Session(Sequence& sequence, std::int64_t context) : sequence_(sequence), context_(context) {
  sequence_.Truncate(0);
}

void Session::Prefill(std::span<const std::int32_t> tokens, Progress& progress, std::int64_t chunk) {
  const auto count = std::ssize(tokens);
  const auto before = std::ssize(tokens_);
  if (count > context_ - before) {
    Fail(ErrorKind::kBadOption, "{} tokens after {} do not fit the context of {}", count, before, context_);
  }
  if (count == 0) return;
  logits_.Resize(0, sequence_.vocab_size());  // there are none until all has been read
  progress.Start("prefill", count, "tokens");
  for (std::int64_t done = 0; done < count;) {
    ThrowIfCancelled();
    const std::int64_t n = std::min(chunk, count - done);
    const auto piece = tokens.subspan(done, n);
    Read(piece, std::ssize(tokens_));
    tokens_.insert(tokens_.end(), piece.begin(), piece.end());
    done += n;
    progress.Update(done);
  }
  // Logits of the last token alone: nobody needs those of the earlier tokens of a prompt.
  logits_.Resize(1, sequence_.vocab_size());
  sequence_.Logits(ConstRows(hidden_).Slice(hidden_.rows() - 1, 1), logits_);
  row_ = 0;
  progress.Finish();
}

void Session::PrefillShared(std::span<const std::int32_t> tokens, Progress& progress) {
  auto shared =
      std::mismatch(tokens.begin(), tokens.end(), tokens_.begin(), tokens_.end()).first - tokens.begin();
  // The last token is read again even if it was read, because its logits are needed.
  shared = std::max<std::ptrdiff_t>(0, std::min(shared, std::ssize(tokens) - 1));
  sequence_.Truncate(shared);
  tokens_.resize(shared);
  Prefill(tokens.subspan(shared), progress);
}

std::span<const float> Session::last_logits() const {
  if (tokens_.empty() || logits_.rows() == 0)
    Fail(ErrorKind::kInternal, "logits of a sequence that is empty or was not read to its end");
  return std::as_const(logits_)[row_];
}

StopReason Session::Generate(Sampler& sampler, const GenerateOptions& options,
                             const std::function<bool(std::int32_t)>& on_token, Drafter* drafter) {
  stats_ = {};
  pass_.clear();
  for (std::int64_t written = 0;; ++written) {
    if (options.max_tokens > 0 && written >= options.max_tokens) return StopReason::kTokenLimit;
    if (CancelRequested()) return StopReason::kCancelled;
    const std::int32_t token = sampler.Sample(last_logits(), tokens_);
    if (std::ranges::find(options.stop_tokens, token) != options.stop_tokens.end())
      return StopReason::kStopToken;
    if (!on_token(token)) return StopReason::kCaller;
    if (options.max_tokens > 0 && written + 1 >= options.max_tokens) return StopReason::kTokenLimit;
    const std::int64_t room = context_ - std::ssize(tokens_);
    if (room <= 0) return StopReason::kContextFull;
    // The last token that may be written need not be read.
    const std::int64_t wanted = options.max_tokens > 0 ? options.max_tokens - written - 1 : room;
    Step(token, std::min(room, wanted) - 1, drafter);
  }
}

// Makes `token` the last one read. Where the drafter guessed it, it has been read already and logits_ has its
// logits.
void Session::Step(std::int32_t token, std::int64_t most_guesses, Drafter* drafter) {
  const std::int64_t before = std::ssize(tokens_);
  tokens_.push_back(token);
  if (row_ + 1 < std::ssize(pass_) && pass_[row_ + 1] == token) {
    ++row_;
    ++stats_.accepted;
    return;
  }
  if (pass_.size() > 1) drafter->Accepted(row_);
  pass_.assign(1, token);
  try {
    if (drafter != nullptr) {
      const std::span<const std::int32_t> guesses = drafter->Draft(tokens_, most_guesses);
      pass_.insert(pass_.end(), guesses.begin(), guesses.end());
    }
    Read(pass_, before);
  } catch (...) {
    tokens_.pop_back();  // it was not read
    throw;
  }
  logits_.Resize(std::ssize(pass_), sequence_.vocab_size());
  sequence_.Logits(hidden_, logits_);
  row_ = 0;
  ++stats_.passes;
  stats_.proposed += std::ssize(pass_) - 1;
}

// Reads `tokens` after the first `after` tokens; what the sequence holds beyond those were wrong guesses.
void Session::Read(std::span<const std::int32_t> tokens, std::int64_t after) {
  sequence_.Truncate(after);
  hidden_.Resize(std::ssize(tokens), sequence_.dim());
  sequence_.Forward(tokens, hidden_);
}

}  // namespace longspan
