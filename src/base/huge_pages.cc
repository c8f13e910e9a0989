#include "base/huge_pages.h"

#include <sys/mman.h>

#include <memory>

#include "base/error.h"

namespace longspan {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;  // of x86-64

}  // namespace

HugePages::HugePages(std::size_t bytes) {
  if (bytes == 0) return;
  // One page more, because the mapping may begin anywhere within a huge page.
  std::size_t size = bytes + kHugePage;
  void* data = size < bytes
                   ? MAP_FAILED
                   : ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) Fail(ErrorKind::kOutOfMemory, "cannot allocate {} bytes of memory", bytes);
  mapped_ = {static_cast<std::byte*>(data), size};
  bytes_ = {static_cast<std::byte*>(std::align(kHugePage, bytes, data, size)), bytes};
  ::madvise(bytes_.data(), bytes, MADV_HUGEPAGE);  // advice: the system may ignore it
}

HugePages::~HugePages() {
  if (!mapped_.empty()) ::munmap(mapped_.data(), mapped_.size());
}

}  // namespace longspan
