#include "base/parallel.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include "base/error.h"

namespace longspan {
namespace {

class ParallelForTest : public testing::Test {
 protected:
  ~ParallelForTest() override { SetThreads(threads_); }

 private:
  const int threads_ = Threads();
};

TEST_F(ParallelForTest, VisitsEveryIndexOnce) {
  for (int threads = 1; threads <= 4; ++threads) {
    SetThreads(threads);
    for (const std::size_t n : {0, 1, 2, 3, 4, 5, 1000}) {
      std::vector<int> seen(n, 0);
      ParallelFor(std::ssize(seen), [&](std::int64_t i) { ++seen[i]; });
      EXPECT_EQ(seen, std::vector<int>(n, 1)) << threads << " threads";
    }
  }
}

TEST_F(ParallelForTest, ALoopInATaskStaysOnItsThread) {
  SetThreads(3);
  std::vector<int> seen(100, 0);
  std::atomic<int> strangers{0};
  ParallelFor(10, [&](std::int64_t i) {
    const auto here = std::this_thread::get_id();
    ParallelFor(10, [&](std::int64_t j) {
      ++seen[10 * i + j];
      strangers += std::this_thread::get_id() != here;
    });
  });
  EXPECT_EQ(seen, std::vector<int>(100, 1));
  EXPECT_EQ(strangers, 0);
}

// Tasks that each wait until all have begun. They end only if there are as many threads as tasks.
void Meet(int threads) {
  std::atomic<int> arrived{0};
  ParallelFor(threads, [&](std::int64_t) {
    ++arrived;
    while (arrived < threads) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, threads);
}

TEST_F(ParallelForTest, RunsOnAsManyThreadsAsAreSet) {
  for (const int threads : {2, 4, 3, 1, 4}) {
    SetThreads(threads);
    Meet(threads);
  }
}

// Workers poll for a while before they sleep. The pauses are shorter and longer than that, so some loops
// begin while a worker falls asleep.
TEST_F(ParallelForTest, WakesSleepingWorkers) {
  SetThreads(3);
  for (int i = 0; i < 300; ++i) {
    Meet(3);
    std::this_thread::sleep_for(std::chrono::microseconds(i % 10 == 0 ? 2000 : i % 100));
  }
}

TEST_F(ParallelForTest, RethrowsOnTheCallingThread) {
  for (int threads = 1; threads <= 4; ++threads) {
    SetThreads(threads);
    EXPECT_THROW(ParallelFor(50,
                             [](std::int64_t i) {
                               if (i == 17) Fail(ErrorKind::kBadOption, "{}", i);
                             }),
                 Error);
    // All tasks fail: one exception is rethrown, and tasks not begun by then are dropped.
    std::atomic<int> begun{0};
    EXPECT_THROW(ParallelFor(1000, [&](std::int64_t i) { ++begun, Fail(ErrorKind::kBadOption, "{}", i); }),
                 Error);
    EXPECT_LE(begun, threads);
    Meet(threads);  // nothing is left over for the next loop
  }
}

// Each thread that finds the workers busy does its loop alone.
TEST_F(ParallelForTest, SeveralThreadsMayCallAtOnce) {
  SetThreads(4);
  std::vector<std::int64_t> sums(4, 0);
  {
    std::vector<std::jthread> callers;
    for (std::size_t c = 0; c < sums.size(); ++c) {
      callers.emplace_back([&sum = sums[c], c] {
        for (int loop = 0; loop < 2000; ++loop) {
          std::array<std::int64_t, 5> squares{};
          ParallelFor(5, [&](std::int64_t i) { squares[i] += i * i; });
          sum += std::accumulate(squares.begin(), squares.end(), std::int64_t{0});
          if (c != 0 || loop % 100 != 0) continue;
          EXPECT_THROW(ParallelFor(3, [](std::int64_t i) { Fail(ErrorKind::kInternal, "{}", i); }), Error);
        }
      });
    }
  }
  EXPECT_EQ(sums, std::vector<std::int64_t>(4, 2000 * (0 + 1 + 4 + 9 + 16)));
}

// The loops follow one another so fast that a worker may arrive for one loop after the next has begun.
TEST_F(ParallelForTest, ManyTinyLoops) {
  for (int threads = 2; threads <= 4; ++threads) {
    SetThreads(threads);
    std::vector<std::int64_t> seen(8, 0), expected = seen;
    for (std::int64_t loop = 0; loop < 20000; ++loop) {
      const std::int64_t n = 2 + loop % 7;
      const auto body = [n](std::vector<std::int64_t>& to, std::int64_t i) { to[i] += n; };
      ParallelFor(n, [&](std::int64_t i) { body(seen, i); });
      for (std::int64_t i = 0; i < n; ++i) body(expected, i);
    }
    EXPECT_EQ(seen, expected) << threads << " threads";
  }
}

void SpendMilliseconds(int n) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(n);
  while (std::chrono::steady_clock::now() < end) {
  }
}

TEST_F(ParallelForTest, AStopwatchCountsSharedLoopsAndNothingElse) {
  SetThreads(2);
  const ParallelStopwatch outer;
  {
    const ParallelStopwatch watch;
    SpendMilliseconds(2);
    ParallelFor(1, [](std::int64_t) { SpendMilliseconds(2); });
    EXPECT_EQ(watch.seconds(), 0);
    ParallelFor(4, [](std::int64_t) {
      ParallelFor(2, [](std::int64_t) { SpendMilliseconds(1); });  // counted once, by the outer loop
    });
    EXPECT_GE(watch.seconds(), 0.002);
    EXPECT_EQ(watch.seconds(), outer.seconds());
  }
  SetThreads(1);
  const double before = outer.seconds();
  ParallelFor(4, [](std::int64_t) { SpendMilliseconds(1); });
  EXPECT_EQ(outer.seconds(), before);
}

TEST_F(ParallelForTest, AStopwatchSeesItsOwnThreadAlone) {
  SetThreads(2);
  const ParallelStopwatch watch;
  std::jthread([] { ParallelFor(4, [](std::int64_t) { SpendMilliseconds(1); }); }).join();
  EXPECT_EQ(watch.seconds(), 0);
}

}  // namespace
}  // namespace longspan
