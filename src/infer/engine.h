// The engine: many sequences read and written together, step by step.
//
// A step is one pass of the model over tokens of several sequences ("continuous batching", Yu et al. 2022,
// section 3). Every sequence that writes gets its token first; what is left of the step's tokens reads
// prompts, in equal shares, so that a long prompt delays the others by a step and no more ("chunked prefill",
// Agrawal et al. 2023).
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "infer/prefix_cache.h"
#include "infer/sampler.h"
#include "infer/stop_reason.h"
#include "model/kv_cache.h"
#include "model/transformer.h"

namespace longspan {

struct EngineOptions {
  Type cache_type = Type::kF32;
  std::int64_t cache_bytes = std::int64_t{4} << 30;  // limit of all keys and values; never exceeded
  std::int64_t step_tokens = 512;                    // most tokens that a step reads
  std::int64_t max_sequences = 16;  // most that run at a time; others wait. At most step_tokens
  std::int64_t context = 0;         // most tokens of a sequence; 0: the model's window
  bool share_prefixes = true;

  void Validate() const;  // Error(kBadOption), naming the option
};

// How a request ended. What each reason means here:
//   kStopToken     the model wrote one of the request's stop tokens
//   kTokenLimit    max_tokens were written
//   kContextFull   the sequence holds the context, and one token more that was written last and not read
//   kCaller        on_token returned false
//   kCancelled     Cancel
//   kOutOfMemory   the sequence had the engine to itself and still lacked pages; `message` has the sizes
//   kFailed        on_token threw, its logits are not numbers, or the pass failed that it was in; `message`
//                  says what
struct Finish {
  StopReason reason = StopReason::kFailed;
  std::string message = {};        // of kOutOfMemory and kFailed
  std::int64_t prompt_tokens = 0;  // that the request brought along
  std::int64_t shared_tokens = 0;  // never computed for it, because their pages were known
  std::int64_t written = 0;        // tokens handed over
};

struct Request {
  std::vector<std::int32_t> prompt;
  SamplerOptions sampler = {};
  GenerateOptions generate = {};
  bool keep = false;  // the sequence rests in the engine afterwards, until Release
  // Called by Step, on its thread; they may call anything but Step. The first gets each token and returns
  // false to stop; what it throws ends the request with kFailed. The second is called once, last of all; a
  // sequence that is not kept is gone by then. What it throws leaves Step, after the step is complete.
  std::function<bool(std::int32_t)> on_token = nullptr;
  std::function<void(const Finish&)> on_finish = nullptr;
};

// No id is ever given twice. A sequence has one request after another. Its own id is also that of its first
// request.
using SequenceId = std::uint64_t;
using RequestId = std::uint64_t;

// What a step did.
struct StepReport {
  std::int64_t read = 0;     // tokens that went through the model
  std::int64_t written = 0;  // tokens handed over
};

// A request that goes wrong ends with a reason; the others go on. A pass of the model that fails has no
// single culprit: all requests that were in it end. Where memory runs out, pages that only the prefix cache
// holds go first; then the youngest running sequence goes back to wait, with its tokens but without its
// pages, and is read again later. A sequence that has the engine to itself and still lacks pages ends with
// kOutOfMemory.
//
// Threads: Submit and Cancel may be called from any, also during a step. All else belongs to the one thread
// that calls Step.
class Engine {
 public:
  // The model must outlive the engine.
  explicit Engine(const Transformer& model, const EngineOptions& options = {});
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // ---- From any thread.

  // A new sequence that begins to wait now. Error(kBadOption) for a prompt that is empty, does not fit the
  // context or holds tokens outside the vocabulary, and for bad options; Error(kOutOfMemory) for one that no
  // free engine could hold.
  SequenceId Submit(Request request);
  // Ends a request at the next step. Does nothing where the request has ended, so a late call never ends the
  // next request of the sequence.
  void Cancel(RequestId id);

  // ---- From the thread that calls Step, between steps or in callbacks.

  // Throws what an on_finish threw, and what fails outside the pass. The engine can make further steps all
  // the same.
  StepReport Step();
  bool idle() const;  // nothing runs, waits or was submitted
  // Waits until there is something to do. False if there is nothing after `timeout`.
  bool WaitForWork(std::chrono::milliseconds timeout);

  // Makes a resting sequence with the tokens that `id` has now. They share all pages.
  SequenceId Fork(SequenceId id);
  // A resting sequence goes on with a request. Errors as of Submit, but the prompt may be empty.
  RequestId Continue(SequenceId id, Request request);
  // A resting sequence forgets all tokens from `length` on.
  void Truncate(SequenceId id, std::int64_t length);
  void Save(SequenceId id, const std::filesystem::path& path);  // see infer/sequence_file.h
  // Restores a file as a resting sequence. Error(kBadOption) where it does not fit the context, other errors
  // as RestoreSequence.
  SequenceId Restore(const std::filesystem::path& path);
  // Forgets a sequence, whatever it does. on_finish is not called.
  void Release(SequenceId id);
  // All tokens of a sequence. The last may not have been read yet.
  const std::vector<std::int32_t>& tokens(SequenceId id) const;

  std::int64_t context() const { return context_; }
  const KvPagePool& pool() const { return *pool_; }
  std::int64_t running() const { return std::ssize(running_); }
  std::int64_t waiting() const { return std::ssize(waiting_); }
  void ForgetPrefixes() { prefixes_.Evict(prefixes_.size()); }  // gives back pages that no sequence holds

 private:
  struct Member {
    enum class State { kResting, kWaiting, kRunning };

    SequenceId id = 0;
    std::vector<std::int32_t> tokens;
    KvCache cache;  // of the first of them
    State state = State::kResting;
    std::uint64_t arrival = 0;  // order of requests
    RequestId request_id = 0;
    Request request = {};  // whose prompt is in `tokens`
    std::optional<Sampler> sampler = {};
    Finish progress = {};
    std::int64_t reached = 0;      // most tokens that the cache held since the request came
    std::int64_t known_pages = 0;  // of these, in the prefix cache
    bool trusted = true;           // false: its pages came from a file, and are for itself alone

    std::int64_t unread() const { return std::ssize(tokens) - cache.length(); }
    void TruncateCache(std::int64_t length);
  };
  // A member's share of a step.
  struct Part {
    Member* member;
    std::int64_t tokens;
  };
  // The token that a member writes next; -1 where `error` says why there is none.
  struct Draw {
    SequenceId id;
    std::int32_t token = -1;
    std::string error = {};
  };

  // engine.cc
  void Check(const Request& request, std::int64_t tokens_before) const;
  Member& Get(SequenceId id) const;         // Error(kBadOption) for an unknown one
  Member& GetResting(SequenceId id) const;  // likewise for one that is busy
  Member& Add(std::unique_ptr<Member> member);
  void Queue(Member& member);
  void TakeInbox();
  void Withdraw(Member& member);  // from those that run or wait
  void End(Member& member, StopReason reason, std::string message = {});
  void RethrowFromCallbacks();

  // engine_step.cc
  void Admit();
  std::vector<Part> Plan();
  bool AnotherReadsAhead(const Member& prompt, std::span<Member* const> readers) const;
  void ShareKnownPages(Member& member);
  static void CountShared(Member& member);
  void PublishPages(Member& member);
  bool MakeRoom(std::int64_t pages);
  void Preempt(Member& member);
  void EndForWantOfPages(Member& member, std::int64_t tokens);
  void ReservePages(std::vector<Part>& parts);
  std::int64_t Read(std::span<const Part> parts);
  std::vector<Draw> DrawTokens(std::span<const Part> parts);
  void EndAll(std::span<const Part> parts, const std::string& message);
  std::int64_t HandOver(std::span<const Draw> draws);
  bool Deliver(SequenceId id, std::int32_t token);

  const Transformer& model_;
  const EngineOptions options_;
  const std::int64_t context_;
  const std::shared_ptr<KvPagePool> pool_;
  std::optional<std::uint64_t> fingerprint_;  // once a file needs it
  PrefixCache prefixes_;
  std::map<SequenceId, std::unique_ptr<Member>> members_;
  std::vector<Member*> running_;  // by arrival
  std::deque<Member*> waiting_;   // by arrival
  std::uint64_t arrivals_ = 0;
  bool stepping_ = false;
  std::exception_ptr thrown_;  // by a callback in this step, the first
  Matrix hidden_, last_hidden_, logits_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable arrived_;
  std::vector<std::unique_ptr<Member>> inbox_;
  std::vector<RequestId> cancelled_;
  std::uint64_t last_id_ = 0;
};

}  // namespace longspan
