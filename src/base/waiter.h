// How one thread waits for what others bring about.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace longspan {

// Only one thread waits on a Waiter. It polls at first, for what it waits for is mostly microseconds away
// and to be woken takes longer than that. It does not poll for long: on a busy machine it would hold the
// core that the awaited thread needs.
class Waiter {
 public:
  // Returns once done() holds. done() reads atomics in sequentially consistent order, the default; whoever
  // makes it true writes them so and then calls Wake().
  template <class Done>
  void WaitUntil(Done done) {
    if (Poll(done)) return;
    while (true) {
      // Of this write and the other thread's, one is first: either done() holds here, or Wake() sees that we
      // sleep.
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
  static constexpr int kPollsPerLook = 16;  // at the clock

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

  std::atomic<int> asleep_{0};  // int, for that is what the kernel can wait on
};

}  // namespace longspan
