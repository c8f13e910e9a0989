#include "model/kv_page_pool.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace longspan {
namespace {

// Memory is taken in pieces of about this size, so that all of it can be in huge pages, whose memory the
// system gives when they are first written to.
constexpr std::int64_t kPiece = std::int64_t{16} << 20;

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
    while (std::cmp_less(returned_.size(), pages)) MakePages();
    taken.assign(returned_.rbegin(), returned_.rbegin() + pages);
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

// At least one more page fits the limit.
void KvPagePool::MakePages() {
  const std::int64_t pages = std::clamp<std::int64_t>(kPiece / page_bytes_, 1, max_pages() - made_);
  returned_.reserve(static_cast<std::size_t>(made_ + pages));  // so that Return cannot fail
  // Zeroed, so that even what no token has written yet is a number.
  memory_.push_back(std::make_unique<const HugePages>(static_cast<std::size_t>(pages * page_bytes_)));
  made_ += pages;
  // The first of them are handed out first.
  for (std::int64_t i = pages - 1; i >= 0; --i)
    returned_.push_back(memory_.back()->bytes().data() + i * page_bytes_);
}

void KvPagePool::Return(std::byte* page) {
  const std::lock_guard lock(mutex_);
  returned_.push_back(page);
  --used_;
}

}  // namespace longspan
