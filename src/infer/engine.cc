// The functions that callers of the engine use. Step is in engine_step.cc.
#include "infer/engine.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "infer/sequence_file.h"
#include "model/fingerprint.h"

namespace longspan {

void EngineOptions::Validate() const {
  const auto check = [](bool good, const char* name, std::int64_t value, const char* expected) {
    if (!good) Fail(ErrorKind::kBadOption, "{} is {}, expected {}", name, value, expected);
  };
  check(cache_bytes > 0, "cache bytes", cache_bytes, "more than 0");
  check(step_tokens > 0, "tokens a step", step_tokens, "at least 1");
  check(max_sequences > 0 && max_sequences <= step_tokens, "sequences at a time", max_sequences,
        "1 to the tokens of a step");
  check(context >= 0, "context", context, "0 or more");
}

Engine::Engine(const Transformer& model, const EngineOptions& options)
    : model_(model),
      options_((options.Validate(), options)),
      context_(options.context > 0 ? options.context : model.config().context),
      pool_(KvPagePool::Make(model.config(), options.cache_type, options.cache_bytes)) {}

void Engine::Check(const Request& request, std::int64_t tokens_before) const {
  request.sampler.Validate();
  const std::int64_t count = std::ssize(request.prompt), tokens = tokens_before + count;
  if (tokens == 0) Fail(ErrorKind::kBadOption, "the prompt is empty");
  if (request.generate.max_tokens < 0) {
    Fail(ErrorKind::kBadOption, "{} tokens to write, expected 0 or more", request.generate.max_tokens);
  }
  if (tokens > context_) {
    Fail(ErrorKind::kBadOption, "{} tokens after {} do not fit the context of {}", count, tokens_before,
         context_);
  }
  for (const std::int32_t token : request.prompt) {
    if (token < 0 || token >= model_.config().vocab_size) {
      Fail(ErrorKind::kBadOption, "token {} is outside the vocabulary of {}", token,
           model_.config().vocab_size);
    }
  }
  if (KvPages(tokens) > pool_->max_pages()) {
    Fail(ErrorKind::kOutOfMemory,
         "keys and values of {} tokens take {} bytes, more than the cache's limit of {}", tokens,
         KvPages(tokens) * pool_->page_bytes(), options_.cache_bytes);
  }
}

SequenceId Engine::Submit(Request request) {
  Check(request, 0);
  auto member = std::make_unique<Member>(Member{.tokens = {}, .cache = KvCache(pool_)});
  member->request = std::move(request);
  const std::lock_guard lock(mutex_);
  member->id = member->request_id = ++last_id_;
  inbox_.push_back(std::move(member));
  arrived_.notify_all();
  return last_id_;
}

void Engine::Cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(id);
}

bool Engine::WaitForWork(std::chrono::milliseconds timeout) {
  if (!running_.empty() || !waiting_.empty()) return true;
  std::unique_lock lock(mutex_);
  return arrived_.wait_for(lock, timeout, [&] { return !inbox_.empty(); });
}

bool Engine::idle() const {
  if (!running_.empty() || !waiting_.empty()) return false;
  const std::lock_guard lock(mutex_);
  return inbox_.empty();
}

Engine::Member& Engine::Get(SequenceId id) const {
  const auto found = members_.find(id);
  if (found == members_.end()) Fail(ErrorKind::kBadOption, "there is no sequence {}", id);
  return *found->second;
}

Engine::Member& Engine::GetResting(SequenceId id) const {
  Member& member = Get(id);
  if (member.state != Member::State::kResting) Fail(ErrorKind::kBadOption, "sequence {} is busy", id);
  return member;
}

Engine::Member& Engine::Add(std::unique_ptr<Member> member) {
  if (member->id == 0) {
    const std::lock_guard lock(mutex_);
    member->id = ++last_id_;
  }
  const SequenceId id = member->id;
  return *members_.emplace(id, std::move(member)).first->second;
}

SequenceId Engine::Fork(SequenceId id) {
  const Member& from = Get(id);
  auto fork = std::make_unique<Member>(Member{.tokens = from.tokens, .cache = from.cache.Fork()});
  fork->trusted = from.trusted;
  return Add(std::move(fork)).id;
}

RequestId Engine::Continue(SequenceId id, Request request) {
  Member& member = GetResting(id);
  Check(request, std::ssize(member.tokens));
  member.request = std::move(request);
  {
    const std::lock_guard lock(mutex_);
    member.request_id = ++last_id_;
  }
  Queue(member);
  return member.request_id;
}

// Pages that are cut off and computed again must be published again.
void Engine::Member::TruncateCache(std::int64_t length) {
  cache.Truncate(length);
  known_pages = std::min(known_pages, cache.length() / kKvBlock);
}

void Engine::Truncate(SequenceId id, std::int64_t length) {
  Member& member = GetResting(id);
  if (length < 0 || length > std::ssize(member.tokens)) {
    Fail(ErrorKind::kBadOption, "sequence {} has {} tokens and cannot be cut to {}", id, member.tokens.size(),
         length);
  }
  member.tokens.resize(length);
  member.TruncateCache(length);
}

void Engine::Save(SequenceId id, const std::filesystem::path& path) {
  const Member& member = Get(id);
  if (!fingerprint_) fingerprint_ = Fingerprint(model_);
  SaveSequence(path, *fingerprint_, member.tokens, member.cache);
}

SequenceId Engine::Restore(const std::filesystem::path& path) {
  if (!fingerprint_) fingerprint_ = Fingerprint(model_);
  SavedSequence saved = RestoreSequence(path, *fingerprint_, model_.config().vocab_size, pool_,
                                        [this](std::int64_t pages) { MakeRoom(pages); });
  // A sequence that filled its context holds one token more, which was written but not read.
  if (saved.cache.length() > context_ || std::ssize(saved.tokens) - 1 > context_) {
    Fail(ErrorKind::kBadOption, "{}: {} tokens do not fit the context of {}", path.string(),
         saved.tokens.size(), context_);
  }
  auto member =
      std::make_unique<Member>(Member{.tokens = std::move(saved.tokens), .cache = std::move(saved.cache)});
  member->trusted = false;
  return Add(std::move(member)).id;
}

const std::vector<std::int32_t>& Engine::tokens(SequenceId id) const { return Get(id).tokens; }

void Engine::Release(SequenceId id) {
  Withdraw(Get(id));
  members_.erase(id);
}

void Engine::Queue(Member& member) {
  std::vector<std::int32_t>& prompt = member.request.prompt;
  member.tokens.insert(member.tokens.end(), prompt.begin(), prompt.end());
  member.progress = {.prompt_tokens = std::ssize(prompt)};
  prompt.clear();
  // The last token is read again even if the cache holds it, because its logits are needed.
  member.TruncateCache(std::ssize(member.tokens) - 1);
  member.reached = member.cache.length();
  member.sampler.emplace(member.request.sampler);
  member.arrival = ++arrivals_;
  member.state = Member::State::kWaiting;
  waiting_.push_back(&member);
}

void Engine::TakeInbox() {
  std::vector<std::unique_ptr<Member>> arrived;
  std::vector<RequestId> cancelled;
  {
    const std::lock_guard lock(mutex_);
    arrived.swap(inbox_);
    cancelled.swap(cancelled_);
  }
  for (std::unique_ptr<Member>& member : arrived) Queue(Add(std::move(member)));
  if (cancelled.empty()) return;
  std::ranges::sort(cancelled);
  std::vector<SequenceId> ended;
  const auto note = [&](const Member* member) {
    if (std::ranges::binary_search(cancelled, member->request_id)) ended.push_back(member->id);
  };
  std::ranges::for_each(running_, note);
  std::ranges::for_each(waiting_, note);
  for (const SequenceId id : ended) {
    const auto found = members_.find(id);
    // A callback of another request may have ended it.
    if (found != members_.end()) End(*found->second, StopReason::kCancelled);
  }
}

void Engine::Withdraw(Member& member) {
  std::erase(running_, &member);
  std::erase(waiting_, &member);
  member.state = Member::State::kResting;
}

void Engine::End(Member& member, StopReason reason, std::string message) {
  Withdraw(member);
  Finish finish = std::move(member.progress);
  finish.reason = reason;
  finish.message = std::move(message);
  const auto on_finish = std::move(member.request.on_finish);
  const bool keep = member.request.keep;
  member.request = {};
  if (!keep) members_.erase(member.id);
  if (!on_finish) return;
  try {
    on_finish(finish);
  } catch (...) {
    if (!thrown_) thrown_ = std::current_exception();
  }
}

// What a callback throws must not stop a step halfway.
void Engine::RethrowFromCallbacks() {
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
}

}  // namespace longspan
