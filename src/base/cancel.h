// Ctrl-C, as the library sees it: a flag that long loops look at.
#pragma once

namespace longspan {

void RequestCancel() noexcept;  // safe in a signal handler
bool CancelRequested() noexcept;
void ClearCancel() noexcept;
void ThrowIfCancelled();  // Error(kCancelled)

}  // namespace longspan
