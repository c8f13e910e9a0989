// Memory in huge pages, for what is read from end to end again and again: one look-up in the page table then
// serves 2 MiB instead of 4 KiB, and the processor asks for memory further ahead.
#pragma once

#include <cstddef>
#include <span>

namespace longspan {

// Zeros. Where the system has no huge pages to give (transparent huge pages, "madvise" or "always"), ordinary
// ones serve.
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
