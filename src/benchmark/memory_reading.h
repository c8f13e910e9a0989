// How fast this machine reads memory at the moment.
#pragma once

#include <cstdint>

#include "base/huge_pages.h"

namespace longspan {

// Memory to be read from end to end again and again. It is in huge pages, because small ones would measure
// address translation too.
class MemoryReading {
 public:
  // `bytes` are rounded up to whole shares; 0: far more than the last cache holds. Error(kOutOfMemory).
  explicit MemoryReading(std::int64_t bytes = 0);

  // Bytes a second of one pass over all of it, by `threads` threads with a share each.
  double Pass(int threads) const;

 private:
  HugePages pages_;
};

}  // namespace longspan
