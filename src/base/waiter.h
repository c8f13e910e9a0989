// How one thread waits for others.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace longspan {

// Only one thread waits on a Waiter. It polls at first, because what it waits for is mostly microseconds away
// and being woken takes longer than that. It does not poll for long, because on a busy machine it would hold
// the core that the awaited thread needs.
class Waiter {
 public:
  // Returns once done() holds. done() reads atomics in sequentially consistent order, the default. The thread
  // that makes it true writes them in that order too and then calls Wake().
  template <class Done>
  void WaitUntil(Done done) {
    if (Poll(done)) return;
    while (true) {
      // Either the other thread's write comes first, and done() holds here; or this one does, and Wake() sees
      // that we sleep.
      asleep_.store(1);
      if (done()) break;
      asleep_.wait(1);
    }
    asleep_.store(0);
  }

  void Wake() {
    if (asleep_.load() == 0) return;
    asleep_.store(0);
    asleep_.notify_one();
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::microseconds kPolling{50};
  static constexpr int kPollsPerLook = 16;  // polls between looks at the clock

  template <class Done>
  static bool Poll(Done& done) {
    if (done()) return true;
    const auto end = Clock::now() + kPolling;
    do {
      for (int i = 0; i < kPollsPerLook; ++i) {
        Pause();
        if (done()) return true;
      }
    } while (Clock::now() < end);
    return false;
  }

  static void Pause() {
#ifdef __x86_64__
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
  }

  std::atomic<int> asleep_{0};  // int, because the kernel waits on ints
};

}  // namespace longspan
