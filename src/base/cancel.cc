#include "base/cancel.h"

#include <atomic>
#include <cstdint>

#include "base/error.h"

namespace longspan {
namespace {

// The time of the first request, in nanoseconds of the steady clock; 0 before it.
std::atomic<std::int64_t> requested{0};
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

std::int64_t Now() noexcept {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

void RequestCancel() noexcept {
  std::int64_t none = 0;
  requested.compare_exchange_strong(none, Now(), std::memory_order_relaxed);
}

bool CancelRequested() noexcept { return requested.load(std::memory_order_relaxed) != 0; }

std::chrono::nanoseconds SinceCancelRequest() noexcept {
  const std::int64_t first = requested.load(std::memory_order_relaxed);
  return std::chrono::nanoseconds(first == 0 ? 0 : Now() - first);
}

void ClearCancel() noexcept { requested.store(0, std::memory_order_relaxed); }

void ThrowIfCancelled() {
  if (CancelRequested()) Fail(ErrorKind::kCancelled, "interrupted");
}

}  // namespace longspan
