#include "base/cancel.h"

#include <atomic>

#include "base/error.h"

namespace longspan {
namespace {
std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free);
}  // namespace

void RequestCancel() noexcept { requested.store(true, std::memory_order_relaxed); }
bool CancelRequested() noexcept { return requested.load(std::memory_order_relaxed); }
void ClearCancel() noexcept { requested.store(false, std::memory_order_relaxed); }
void ThrowIfCancelled() {
  if (CancelRequested()) Fail(ErrorKind::kCancelled, "interrupted");
}

}  // namespace longspan
