#include "base/parallel.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/machine.h"
#include "base/memory.h"
#include "base/waiter.h"

namespace longspan {
namespace {

using Body = FunctionRef<void(std::int64_t)>;

std::atomic<int> thread_count{0};

thread_local bool in_parallel_loop = false;
thread_local ParallelStopwatch* stopwatch = nullptr;

// Workers that help a calling thread with its loop, one loop at a time.
//
// The calling thread publishes n tasks as `unclaimed_`. A thread that lowers it from a positive value has
// claimed a task. No task is assigned to a thread, so the caller never waits for a slow worker: it claims
// what is left, and then waits until the tasks that others claimed are done. A loop is over when
// `unfinished_` is 0. `body_` and `tasks_` change only between loops, so they stay the same while a thread
// has claimed a task and not yet counted it as finished. A worker that comes too late for one loop therefore
// claims nothing, or a task of the next loop. Both are correct.
class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    stop_.store(true);
    for (const auto& worker : workers_) worker->waiter.Wake();
  }

  // Runs the loop with up to `helpers` workers. Does nothing and returns false while another thread uses the
  // workers.
  bool Run(std::int64_t tasks, int helpers, Body body) {
    const std::unique_lock lock(one_loop_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    helpers = Recruit(helpers);
    body_ = &body;
    tasks_ = tasks;
    unfinished_.store(tasks);
    helpers_.store(helpers);
    unclaimed_.store(tasks);
    for (int i = 0; i < helpers; ++i) workers_[i]->waiter.Wake();

    in_parallel_loop = true;
    WorkOff();
    in_parallel_loop = false;
    caller_.WaitUntil([&] { return unfinished_.load() == 0; });
    if (failed_.exchange(false)) std::rethrow_exception(std::exchange(exception_, nullptr));
    return true;
  }

 private:
  struct Worker {
    Waiter waiter;
    std::jthread thread;  // last, so that it is joined before the waiter is destroyed
  };

  // Starts workers until there are `count`. Returns how many of them a loop can use: fewer if the system
  // refuses more threads.
  int Recruit(int count) {
    try {
      while (std::ssize(workers_) < count) {
        auto worker = std::make_unique<Worker>();
        const int index = static_cast<int>(std::ssize(workers_));
        worker->thread = std::jthread([this, index, &waiter = worker->waiter] { Serve(index, waiter); });
        workers_.push_back(std::move(worker));
      }
    } catch (const std::system_error&) {
    }
    return static_cast<int>(std::min<std::ptrdiff_t>(count, std::ssize(workers_)));
  }

  // The main loop of a worker.
  void Serve(int index, Waiter& waiter) {
    ::pthread_setname_np(::pthread_self(), ("longspan-" + std::to_string(index + 1)).c_str());
    in_parallel_loop = true;
    while (true) {
      waiter.WaitUntil([&] { return stop_.load() || (unclaimed_.load() > 0 && index < helpers_.load()); });
      if (stop_.load()) return;
      WorkOff();
    }
  }

  // Claims tasks and does them, until none is left.
  void WorkOff() {
    std::int64_t finished = 0;
    while (unclaimed_.load(std::memory_order_relaxed) > 0) {
      // Several threads may lower it at once, even below 0. The next loop sets it again.
      const std::int64_t left = unclaimed_.fetch_sub(1);
      if (left <= 0) break;
      ++finished;
      try {
        (*body_)(tasks_ - left);
      } catch (...) {
        if (!failed_.exchange(true)) exception_ = std::current_exception();
        // Tasks that nobody has begun are dropped.
        finished += std::max<std::int64_t>(0, unclaimed_.exchange(0));
      }
    }
    if (finished > 0 && unfinished_.fetch_sub(finished) == finished) caller_.Wake();
  }

  std::mutex one_loop_;  // held by the thread whose loop is running
  const Body* body_ = nullptr;
  std::int64_t tasks_ = 0;
  std::exception_ptr exception_;  // written by the thread that sets failed_
  Waiter caller_;

  // Each group on a cache line of its own: all threads write the first counter for each task, and polling
  // workers read it.
  alignas(kCacheLine) std::atomic<std::int64_t> unclaimed_{0};
  std::atomic<int> helpers_{0};  // workers from this index on leave the loop alone
  std::atomic<bool> stop_{false};
  alignas(kCacheLine) std::atomic<std::int64_t> unfinished_{0};
  std::atomic<bool> failed_{false};

  std::vector<std::unique_ptr<Worker>> workers_;  // last, so that they are joined before the rest goes
};

}  // namespace

void SetThreads(int threads) { thread_count.store(std::max(1, threads)); }

int Threads() {
  const int set = thread_count.load(std::memory_order_relaxed);
  if (set > 0) return set;
  static const int all = PhysicalThreads();
  return all;
}

void ParallelFor(std::int64_t n, FunctionRef<void(std::int64_t)> body) {
  if (n > 1 && !in_parallel_loop && Threads() > 1) {
    static Pool pool;
    const int helpers = static_cast<int>(std::min<std::int64_t>(n, Threads())) - 1;
    if (stopwatch == nullptr) {
      if (pool.Run(n, helpers, body)) return;
    } else {
      const auto start = std::chrono::steady_clock::now();
      if (pool.Run(n, helpers, body))
        return stopwatch->Add(
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  }
  for (std::int64_t i = 0; i < n; ++i) body(i);
}

ParallelStopwatch::ParallelStopwatch() : outer_(stopwatch) { stopwatch = this; }

ParallelStopwatch::~ParallelStopwatch() { stopwatch = outer_; }

void ParallelStopwatch::Add(double seconds) {
  for (ParallelStopwatch* watch = this; watch != nullptr; watch = watch->outer_) watch->seconds_ += seconds;
}

}  // namespace longspan
