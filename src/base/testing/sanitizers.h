// Whether this build checks addresses or threads as it runs, which takes memory and time of its own.
#pragma once

namespace longspan {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace longspan
