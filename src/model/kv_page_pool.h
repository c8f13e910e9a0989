// Memory for the keys and values of any number of sequences of one model, page by page and within a fixed
// limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "base/huge_pages.h"
#include "kernels/kv_layout.h"
#include "model/config.h"

namespace longspan {

// Keys and values of kKvBlock consecutive tokens in all layers: layer i's, laid out as KvLayout says, begin
// at i * layout.PageBytes(). A copy of the pointer shares the page. When the last copy is gone, the page goes
// back to its pool.
using KvPage = std::shared_ptr<std::byte>;

// May be used from several threads. Pages that come back are handed out again; memory is given back to the
// system with the pool, which the pages keep alive.
class KvPagePool : public std::enable_shared_from_this<KvPagePool> {
 public:
  static constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

  // Pages of `type` for a model, `limit` bytes of them at most. Error(kUnsupported) for a type that cannot
  // hold the model's heads.
  static std::shared_ptr<KvPagePool> Make(const LlamaConfig& config, Type type,
                                          std::int64_t limit = kNoLimit);

  const KvLayout& layout() const { return layout_; }
  std::int64_t layers() const { return layers_; }
  std::int64_t page_bytes() const { return page_bytes_; }
  std::int64_t max_pages() const { return limit_ / page_bytes_; }
  std::int64_t used_pages() const;
  std::int64_t free_pages() const { return max_pages() - used_pages(); }

  // Takes all of them or, if they do not fit the limit, none: Error(kOutOfMemory).
  std::vector<KvPage> Take(std::int64_t pages);

 private:
  KvPagePool(const LlamaConfig& config, Type type, std::int64_t limit);
  void Return(std::byte* page);
  void MakePages();

  const KvLayout layout_;
  const std::int64_t page_bytes_, layers_, limit_;
  mutable std::mutex mutex_;  // guards what follows
  std::int64_t used_ = 0;
  std::int64_t made_ = 0;
  std::vector<std::unique_ptr<const HugePages>> memory_;  // of every page ever made
  std::vector<std::byte*> returned_;
};

}  // namespace longspan
