// How fast this machine reads memory at the moment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace longspan {

// Memory to be read from end to end again and again.
class MemoryReading {
 public:
  // `bytes` are rounded up to whole shares; 0: far more than the last cache holds. Error(kOutOfMemory).
  explicit MemoryReading(std::int64_t bytes = 0);

  // Bytes a second of one pass over all of it, by `threads` threads with a share each.
  double Pass(int threads) const;

 private:
  std::int64_t bytes_;
  std::unique_ptr<std::byte, std::function<void(std::byte*)>> memory_;
};

}  // namespace longspan
