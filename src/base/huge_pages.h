// Memory in huge pages, for what is read from end to end again and again. One look-up in the page table then
// covers 2 MiB instead of 4 KiB, and the processor prefetches further ahead.
#pragma once

#include <cstddef>
#include <span>

namespace longspan {

// Zeroed memory. It is in ordinary pages where the system gives no huge ones (transparent huge pages,
// "madvise" or "always").
class HugePages {
 public:
  explicit HugePages(std::size_t bytes);  // Error(kOutOfMemory)
  ~HugePages();
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }  // aligned to a huge page

 private:
  std::span<std::byte> mapped_, bytes_;
};

}  // namespace longspan
