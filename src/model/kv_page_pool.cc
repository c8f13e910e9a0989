#include "model/kv_page_pool.h"

#include <utility>

#include "base/error.h"

namespace longspan {
namespace {

double MiB(std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace

std::shared_ptr<KvPagePool> KvPagePool::Make(const LlamaConfig& config, Type type, std::int64_t limit) {
  return std::shared_ptr<KvPagePool>(new KvPagePool(config, type, limit));
}

KvPagePool::KvPagePool(const LlamaConfig& config, Type type, std::int64_t limit)
    : layout_{type, config.kv_heads, config.head_dim},
      page_bytes_(config.layers * layout_.PageBytes()),
      layers_(config.layers),
      limit_(limit) {}

std::int64_t KvPagePool::used_pages() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

std::vector<KvPage> KvPagePool::Take(std::int64_t pages) {
  std::vector<std::byte*> taken;
  {
    const std::lock_guard lock(mutex_);
    if (pages > max_pages() - used_) {
      Fail(ErrorKind::kOutOfMemory,
           "the cache needs {:.2f} MiB more, but {:.2f} MiB of its limit of {:.2f} MiB are used",
           MiB(pages * page_bytes_), MiB(used_ * page_bytes_), MiB(limit_));
    }
    while (std::cmp_less(returned_.size(), pages)) {
      returned_.reserve(memory_.size() + 1);  // so that Return cannot fail
      // Zeroed, so that even what no token has written yet is a number.
      memory_.emplace_back(static_cast<std::size_t>(page_bytes_));
      returned_.push_back(memory_.back().data());
    }
    taken.assign(returned_.end() - pages, returned_.end());
    returned_.resize(returned_.size() - taken.size());
    used_ += pages;
  }
  std::vector<KvPage> out;
  out.reserve(taken.size());
  const std::shared_ptr<KvPagePool> self = shared_from_this();
  for (std::byte* page : taken) {
    out.emplace_back(page, [self](std::byte* returned) { self->Return(returned); });
  }
  return out;
}

void KvPagePool::Return(std::byte* page) {
  const std::lock_guard lock(mutex_);
  returned_.push_back(page);
  --used_;
}

}  // namespace longspan
