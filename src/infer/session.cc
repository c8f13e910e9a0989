#include "infer/session.h"

#include <algorithm>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"

namespace longspan {

Session::Session(const Transformer& model, std::int64_t context)
    : Session(std::make_unique<TransformerSequence>(model), context > 0 ? context : model.config().context) {}

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
  progress.Start("prefill", count, "tokens");
  for (std::int64_t done = 0; done < count;) {
    ThrowIfCancelled();
    const std::int64_t n = std::min(chunk, count - done);
    Read(tokens.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(n)));
    done += n;
    progress.Update(done);
  }
  // Logits of the last token alone: nobody looks at those of a prompt.
  logits_.Resize(1, sequence_.vocab_size());
  sequence_.Logits(ConstRows(hidden_).Slice(hidden_.rows() - 1, 1), logits_);
  progress.Finish();
}

void Session::PrefillShared(std::span<const std::int32_t> tokens, Progress& progress) {
  auto shared =
      std::mismatch(tokens.begin(), tokens.end(), tokens_.begin(), tokens_.end()).first - tokens.begin();
  // The last token is read again even if it was: its logits are wanted.
  shared = std::max<std::ptrdiff_t>(0, std::min(shared, std::ssize(tokens) - 1));
  sequence_.Truncate(shared);
  tokens_.resize(static_cast<std::size_t>(shared));
  Prefill(tokens.subspan(static_cast<std::size_t>(shared)), progress);
}

std::span<const float> Session::last_logits() const {
  if (tokens_.empty()) Fail(ErrorKind::kInternal, "logits of an empty sequence");
  return logits_.span();
}

StopReason Session::Generate(Sampler& sampler, const GenerateOptions& options,
                             const std::function<bool(std::int32_t)>& on_token) {
  for (std::int64_t written = 0;; ++written) {
    if (options.max_tokens > 0 && written >= options.max_tokens) return StopReason::kTokenLimit;
    if (CancelRequested()) return StopReason::kCancelled;
    const std::int32_t token = sampler.Sample(last_logits(), tokens_);
    if (std::ranges::find(options.stop_tokens, token) != options.stop_tokens.end())
      return StopReason::kStopToken;
    if (!on_token(token)) return StopReason::kCaller;
    if (options.max_tokens > 0 && written + 1 >= options.max_tokens) return StopReason::kTokenLimit;
    if (std::ssize(tokens_) >= context_) return StopReason::kContextFull;
    Read({&token, 1});
    sequence_.Logits(hidden_, logits_);
  }
}

void Session::Read(std::span<const std::int32_t> tokens) {
  hidden_.Resize(std::ssize(tokens), sequence_.dim());
  sequence_.Forward(tokens, hidden_);
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
}

}  // namespace longspan
