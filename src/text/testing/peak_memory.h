// How much memory a test takes.
#pragma once

#include <sys/resource.h>

#include <cstdint>

namespace longspan {

// The most that this process had at once, in bytes.
inline std::int64_t PeakMemory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace longspan
