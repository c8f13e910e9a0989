// One step of the engine: who takes part, with how many tokens, in which pages, and what comes of it.
#include <algorithm>
#include <exception>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "infer/engine.h"
#include "infer/fair_shares.h"

namespace longspan {
namespace {

// Sets a flag for as long as it lives.
struct Raised {
  explicit Raised(bool& f) : flag(f) { flag = true; }
  ~Raised() { flag = false; }
  bool& flag;
};

// The message of the exception that is being handled.
std::string MessageOfCurrentException() {
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception of an unknown type";
  }
}

}  // namespace

StepReport Engine::Step() {
  if (stepping_) Fail(ErrorKind::kInternal, "Step called from a callback");
  const Raised stepping(stepping_);
  TakeInbox();
  Admit();
  std::vector<Part> parts = Plan();
  StepReport report;
  std::vector<Draw> draws;
  try {
    ReservePages(parts);
    report.read = Read(parts);
    draws = DrawTokens(parts);
  } catch (...) {
    EndAll(parts, MessageOfCurrentException());
  }
  report.written = HandOver(draws);
  RethrowFromCallbacks();
  return report;
}

// First come, first served: the first that does not fit makes all others wait, because otherwise long prompts
// would wait for ever.
void Engine::Admit() {
  while (!waiting_.empty() && std::ssize(running_) < options_.max_sequences) {
    Member& member = *waiting_.front();
    const std::int64_t held = member.cache.length();
    ShareKnownPages(member);
    // Running sequences still need pages for what they have not read, and one each to go on writing.
    std::int64_t needed = member.cache.PagesFor(member.unread());
    for (const Member* other : running_) needed += other->cache.PagesFor(other->unread()) + 1;
    if (needed > pool_->free_pages() + prefixes_.evictable()) {
      if (running_.empty()) {
        EndForWantOfPages(member, member.unread());
        continue;
      }
      member.cache.Truncate(held);
      return;
    }
    CountShared(member);
    waiting_.pop_front();
    running_.push_back(&member);
    member.state = Member::State::kRunning;
  }
}

std::vector<Engine::Part> Engine::Plan() {
  std::vector<Part> parts;
  std::vector<Member*> prompts, readers;
  for (Member* member : running_) {
    if (member->unread() > 1) ShareKnownPages(*member);
    CountShared(*member);
    if (member->unread() == 1) {
      parts.push_back({member, 1});
    } else {
      prompts.push_back(member);
    }
  }
  // The furthest first: a prompt further back can wait for a page that is being computed.
  std::ranges::stable_sort(prompts, std::greater{}, [](const Member* m) { return m->cache.length(); });
  std::vector<std::int64_t> wants;
  for (Member* prompt : prompts) {
    if (AnotherReadsAhead(*prompt, readers)) continue;
    readers.push_back(prompt);
    wants.push_back(prompt->unread());
  }
  const auto shares = FairShares(options_.step_tokens - std::ssize(parts), wants);
  for (std::size_t i = 0; i < readers.size(); ++i) parts.push_back({readers[i], shares[i]});
  std::ranges::sort(parts, {}, [](const Part& part) { return part.member->arrival; });
  return parts;
}

// Whether one of `readers` is about to complete the next page of this prompt, which can then share it. A
// reader past that page does not count, because it will not compute the page again.
bool Engine::AnotherReadsAhead(const Member& prompt, std::span<Member* const> readers) const {
  const std::int64_t end = (prompt.cache.length() / kKvBlock + 1) * kKvBlock;  // of the next page
  if (!options_.share_prefixes || end >= std::ssize(prompt.tokens)) return false;
  return std::ranges::any_of(readers, [&](const Member* reader) {
    return reader->trusted && reader->cache.length() < end && end <= std::ssize(reader->tokens) &&
           std::ranges::equal(std::span(prompt.tokens).first(end), std::span(reader->tokens).first(end));
  });
}

// Takes over the pages that were computed for the same tokens, where they reach further than the member's
// own. The member then gives back all its own pages for these, as PrefixCache requires. The last token is
// left to be read, because its logits are needed.
void Engine::ShareKnownPages(Member& member) {
  if (!options_.share_prefixes) return;
  const std::vector<KvPage> known = prefixes_.Find(std::span(member.tokens).first(member.tokens.size() - 1));
  if (std::ssize(known) * kKvBlock <= member.cache.length()) return;
  member.cache.Clear();
  member.cache.Share(known);
}

// Tokens count as shared where the cache got them without a pass and had never held them before. They do not
// count when a sequence that gave way is read again.
void Engine::CountShared(Member& member) {
  const std::int64_t length = member.cache.length();
  member.progress.shared_tokens += std::max<std::int64_t>(0, length - member.reached);
  member.reached = std::max(member.reached, length);
}

void Engine::PublishPages(Member& member) {
  const std::int64_t full = member.cache.length() / kKvBlock;
  if (!options_.share_prefixes || !member.trusted || full <= member.known_pages) return;
  member.cache.Adopt(prefixes_.Insert(member.tokens, member.cache.pages().first(full)));
  member.known_pages = full;
}

bool Engine::MakeRoom(std::int64_t pages) {
  const std::int64_t missing = pages - pool_->free_pages();
  return missing <= 0 || prefixes_.Evict(missing) == missing;
}

// Puts a sequence back at the head of the queue. It arrived before all that wait, and after all that still
// run.
void Engine::Preempt(Member& member) {
  Withdraw(member);
  member.cache.Clear();
  member.known_pages = 0;
  member.state = Member::State::kWaiting;
  waiting_.push_front(&member);
}

void Engine::EndForWantOfPages(Member& member, std::int64_t tokens) {
  std::string message;
  try {
    member.cache.Reserve(tokens);
  } catch (const Error& e) {
    message = e.what();
  }
  End(member, StopReason::kOutOfMemory, std::move(message));
}

// Serves the oldest first, because memory goes to the sequences that came first.
void Engine::ReservePages(std::vector<Part>& parts) {
  std::vector<Part> ready;
  for (const Part& part : parts) {
    Member& member = *part.member;
    if (member.state != Member::State::kRunning) continue;  // it has just made room for an older one
    const auto fits = [&] { return MakeRoom(member.cache.PagesFor(part.tokens)); };
    while (!fits() && running_.back() != &member) Preempt(*running_.back());
    if (fits()) {
      member.cache.Reserve(part.tokens);
      ready.push_back(part);
    } else if (running_.size() > 1) {
      Preempt(member);
    } else {
      EndForWantOfPages(member, part.tokens);
      break;  // it was the only one
    }
  }
  parts = std::move(ready);
}

// Makes one pass of the model. Returns how many tokens went through it.
std::int64_t Engine::Read(std::span<const Part> parts) {
  std::vector<SequenceTokens> sequences;
  std::int64_t rows = 0;
  for (const auto& [member, tokens] : parts) {
    sequences.push_back({std::span(member->tokens).subspan(member->cache.length(), tokens), &member->cache});
    rows += tokens;
  }
  hidden_.Resize(rows, model_.config().dim);
  model_.Forward(sequences, hidden_);
  for (const auto& [member, tokens] : parts) {
    member->reached = std::max(member->reached, member->cache.length());
    PublishPages(*member);
  }
  return rows;
}

// Draws a token for every sequence that has been read to its end.
std::vector<Engine::Draw> Engine::DrawTokens(std::span<const Part> parts) {
  std::vector<Member*> writers;
  last_hidden_.Resize(std::ssize(parts), model_.config().dim);
  std::int64_t row = -1;
  for (const auto& [member, tokens] : parts) {
    row += tokens;
    if (member->unread() > 0) continue;
    std::ranges::copy(hidden_[row], last_hidden_[std::ssize(writers)].begin());
    writers.push_back(member);
  }
  const auto count = std::ssize(writers);
  if (count == 0) return {};
  logits_.Resize(count, model_.config().vocab_size);
  model_.Logits(ConstRows(last_hidden_).Slice(0, count), logits_);

  // Each draw depends on its own sequence alone.
  std::vector<Draw> draws(writers.size());
  ParallelFor(count, [&](std::int64_t i) {
    Member& member = *writers[i];
    Draw& draw = draws[i];
    draw.id = member.id;
    try {
      draw.token = member.sampler->Sample(logits_[i], member.tokens);
    } catch (...) {
      draw.error = MessageOfCurrentException();
    }
  });
  return draws;
}

// Ends the requests of a pass that failed. Sequences that gave way for it go on waiting.
void Engine::EndAll(std::span<const Part> parts, const std::string& message) {
  std::vector<SequenceId> ids;
  for (const Part& part : parts) {
    if (part.member->state == Member::State::kRunning) ids.push_back(part.member->id);
  }
  for (const SequenceId id : ids) {
    const auto found = members_.find(id);
    if (found != members_.end()) End(*found->second, StopReason::kFailed, message);
  }
}

// Hands the tokens over, and returns how many were handed over.
std::int64_t Engine::HandOver(std::span<const Draw> draws) {
  std::int64_t written = 0;
  for (const auto& [id, token, error] : draws) {
    const auto found = members_.find(id);
    if (found == members_.end()) continue;  // released by another's callback
    if (token >= 0) {
      written += Deliver(id, token) ? 1 : 0;
    } else {
      End(*found->second, StopReason::kFailed, error);
    }
  }
  return written;
}

// Returns whether the token was handed over.
bool Engine::Deliver(SequenceId id, std::int32_t token) {
  Member& member = Get(id);
  const GenerateOptions& options = member.request.generate;
  if (std::ranges::find(options.stop_tokens, token) != options.stop_tokens.end()) {
    End(member, StopReason::kStopToken);
    return false;
  }
  member.tokens.push_back(token);
  const std::int64_t written = ++member.progress.written;
  bool wanted = true;
  if (member.request.on_token) {
    const auto on_token = member.request.on_token;  // it may release the sequence, and itself with it
    try {
      wanted = on_token(token);
    } catch (...) {
      if (members_.contains(id)) {
        End(member, StopReason::kFailed, MessageOfCurrentException());
      } else if (!thrown_) {
        thrown_ = std::current_exception();  // it released the sequence, so only Step can report it
      }
      return true;
    }
    if (!members_.contains(id)) return true;
  }
  if (!wanted) {
    End(member, StopReason::kCaller);
  } else if (options.max_tokens > 0 && written >= options.max_tokens) {
    End(member, StopReason::kTokenLimit);
  } else if (member.cache.length() >= context_) {
    End(member, StopReason::kContextFull);
  }
  return true;
}

}  // namespace longspan
