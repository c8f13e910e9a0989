// Ctrl-C as the library sees it: a flag that long loops check.
#pragma once

#include <chrono>

namespace longspan {

void RequestCancel() noexcept;  // safe in a signal handler
bool CancelRequested() noexcept;
// The time since the first request; zero if there was none. Safe in a signal handler.
std::chrono::nanoseconds SinceCancelRequest() noexcept;
void ClearCancel() noexcept;
void ThrowIfCancelled();  // Error(kCancelled)

}  // namespace longspan
