// Prefetching: memory is asked for ahead of its use, so that it comes while other memory is processed.
#if defined(LONGSPAN_KERNELS_INT8_AHEAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_AHEAD_INL_H_
#undef LONGSPAN_KERNELS_INT8_AHEAD_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_AHEAD_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/int8/codes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// Prefetches rows of a piece of memory, line by line, into the second-level cache, which can wait for many
// lines at once. Code that works on other memory prefetches a few lines now and then. All at once would delay
// it, because its own memory comes through the same few buffers.
class Ahead {
 public:
  Ahead() = default;  // nothing
  // `rows` rows of `bytes` bytes, `stride` apart.
  Ahead(const std::uint8_t* first, std::int64_t rows, std::int64_t bytes, std::int64_t stride)
      : at_(first), end_(first + bytes), bytes_(bytes), skip_(stride - bytes), rows_(rows) {}

  // Prefetches the next lines, or nothing when all have been prefetched.
  template <int kLines>
  HWY_INLINE void Ask() {
    if (rows_ == 0) return;
#pragma GCC unroll 16
    for (int i = 0; i < kLines; ++i, at_ += kCacheLine) {
      // Not _mm_prefetch: the compiler takes a function that does nothing else for pure, and drops it.
      asm volatile("prefetcht1 %0" ::"m"(*at_));
    }
    if (at_ < end_) return;
    at_ = end_ + skip_;
    end_ = at_ + bytes_;
    --rows_;
  }

 private:
  const std::uint8_t *at_ = nullptr, *end_ = nullptr;  // of the row
  std::int64_t bytes_ = 0, skip_ = 0, rows_ = 0;
};

// Calls body(i, next) once for each i in [0, n), on several threads. `next` is the task that the same thread
// will do after i, or at least n if there is none. Its memory can be prefetched.
template <class Body>
void ForEachAhead(std::int64_t n, const Body& body) {
  std::atomic<std::int64_t> unclaimed = 0;
  const auto claim = [&] { return unclaimed.fetch_add(1, std::memory_order_relaxed); };
  ParallelFor(std::min<std::int64_t>(Threads(), n), [&](std::int64_t) {
    for (std::int64_t mine = claim(), next; mine < n; mine = next) {
      next = claim();
      body(mine, next);
    }
  });
}

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
