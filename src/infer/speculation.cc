#include "infer/speculation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace longspan {
namespace {

constexpr std::int64_t kLongestMatch = 32;  // a longer match says nothing more
constexpr std::int64_t kMostPlaces = 1024;  // examined for one draft; takes microseconds
constexpr double kMemory = 0.9;             // weight of a guess, relative to one a token later
constexpr double kWorth = 0.4;              // least chance at which a guess is worth one more row
// A draft model's context is not limited: past its window it guesses worse, but the text written stays the
// same.
constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

std::uint64_t PairBefore(std::span<const std::int32_t> tokens, std::int64_t place) {
  const auto before = [&](std::int64_t i) { return static_cast<std::uint32_t>(tokens[place - i]); };
  return std::uint64_t{before(2)} << 32 | before(1);
}

}  // namespace

std::span<const std::int32_t> PromptLookup::Draft(std::span<const std::int32_t> tokens, std::int64_t limit) {
  Index(tokens);
  draft_.clear();
  const Match match = Find(tokens);
  const std::int64_t count = std::min({limit, kMostTokens, WorthGuessing(match.length)});
  // A match near the end goes on into the draft itself, so that text with a short period can be continued at
  // will.
  for (std::int64_t i = match.end; std::ssize(draft_) < count; ++i) {
    const auto place = static_cast<std::size_t>(i);
    draft_.push_back(place < tokens.size() ? tokens[place] : draft_[place - tokens.size()]);
  }
  return draft_;
}

void PromptLookup::Accepted(std::int64_t count) {
  right_ += static_cast<double>(count);
  if (count < std::ssize(draft_)) ++wrong_;
}

// Enters all places except the end of `tokens`, which is the one to look up.
void PromptLookup::Index(std::span<const std::int32_t> tokens) {
  if (std::ssize(tokens) < std::ssize(previous_)) {  // cut back
    latest_.clear();
    previous_.clear();
  }
  const auto fresh = std::ssize(tokens) - std::ssize(previous_);
  const double fading = std::pow(kMemory, fresh);
  right_ *= fading;
  wrong_ *= fading;
  for (std::int64_t place = std::ssize(previous_); place < std::ssize(tokens); ++place) {
    if (place < 2) {
      previous_.push_back(0);
    } else {
      std::int64_t& latest = latest_[PairBefore(tokens, place)];
      previous_.push_back(latest);
      latest = place;
    }
  }
}

PromptLookup::Match PromptLookup::Find(std::span<const std::int32_t> tokens) const {
  Match best;
  const auto end = std::ssize(tokens);
  if (end < 2) return best;
  const auto found = latest_.find(PairBefore(tokens, end));
  if (found == latest_.end()) return best;
  std::int64_t place = found->second;
  for (std::int64_t i = 0; i < kMostPlaces && place > 0 && best.length < kLongestMatch; ++i) {
    const auto most = static_cast<std::ptrdiff_t>(std::min(place, kLongestMatch));
    const auto last = tokens.rbegin();
    const auto length = std::mismatch(last, last + most, last + (end - place)).first - last;
    if (length > best.length) best = {place, length};
    place = previous_[place];
  }
  return best;
}

// A match of m tokens counts as m right guesses. Together with the recent guesses it gives, by the rule of
// succession, the chance p: the next guess is right with probability p, the n-th with p^n. Guessing goes on
// while that is worth a row. Repetition makes drafts long. Failures make them short and then empty. As
// failures fade, short drafts are tried again.
std::int64_t PromptLookup::WorthGuessing(std::int64_t match_length) const {
  if (match_length == 0) return 0;
  const double right = static_cast<double>(match_length) + right_;
  const double p = right / (right + wrong_ + 1);
  return static_cast<std::int64_t>(std::log(kWorth) / std::log(p));
}

DraftModel::DraftModel(const Transformer& model, Type cache_type, std::int64_t tokens)
    : session_(model, kNoLimit, cache_type), greedy_({.temperature = 0}), tokens_(tokens) {}

DraftModel::DraftModel(Sequence& sequence, std::int64_t tokens)
    : session_(sequence, kNoLimit), greedy_({.temperature = 0}), tokens_(tokens) {}

std::span<const std::int32_t> DraftModel::Draft(std::span<const std::int32_t> tokens, std::int64_t limit) {
  draft_.clear();
  const std::int64_t count = std::min(limit, tokens_);
  if (count == 0) return draft_;
  try {
    session_.PrefillShared(tokens);  // this also forgets what was rejected of the last draft
    session_.Generate(greedy_, {.max_tokens = count, .stop_tokens = {}}, [&](std::int32_t token) {
      draft_.push_back(token);
      return true;
    });
  } catch (const Error& error) {
    // The session checks for Ctrl-C itself, between two tokens.
    if (error.kind() != ErrorKind::kCancelled) throw;
  }
  return draft_;
}

void CheckSameVocabulary(const LoadedModel& draft, const LoadedModel& model) {
  const std::vector<std::string>& guessed = draft.tokenizer().vocabulary().tokens;
  const std::vector<std::string>& written = model.tokenizer().vocabulary().tokens;
  const std::string draft_path = draft.path().string(), model_path = model.path().string();
  if (guessed.size() != written.size()) {
    Fail(ErrorKind::kBadOption, "{} cannot draft for {}: it has {} tokens, the model {}", draft_path,
         model_path, guessed.size(), written.size());
  }
  const auto differ = std::ranges::mismatch(guessed, written);
  if (differ.in1 != guessed.end()) {
    Fail(ErrorKind::kBadOption, "{} cannot draft for {}: its token {} is '{}', the model's '{}'", draft_path,
         model_path, differ.in1 - guessed.begin(), *differ.in1, *differ.in2);
  }
}

}  // namespace longspan
