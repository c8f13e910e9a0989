#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/error.h"

namespace longspan {

KvCache::KvCache(std::shared_ptr<KvPagePool> pool) : pool_(std::move(pool)) {}

KvCache::KvCache(const LlamaConfig& config, Type type) : KvCache(KvPagePool::Make(config, type)) {}

KvCache KvCache::Fork() const {
  KvCache fork(pool_);
  fork.length_ = length_;
  fork.pages_.assign(pages_.begin(), pages_.begin() + KvPages(length_));
  return fork;
}

void KvCache::Truncate(std::int64_t length) {
  length_ = std::min(length_, length);
  pages_.resize(KvPages(length_));
}

bool KvCache::SharesLastPage() const {
  return length_ % kKvBlock != 0 && pages_[length_ / kKvBlock].use_count() > 1;
}

std::int64_t KvCache::PagesFor(std::int64_t tokens) const {
  if (tokens == 0) return 0;
  return std::max<std::int64_t>(0, KvPages(length_ + tokens) - std::ssize(pages_)) +
         (SharesLastPage() ? 1 : 0);
}

void KvCache::Reserve(std::int64_t tokens) {
  if (PagesFor(tokens) == 0) return;
  std::vector<KvPage> taken = pool_->Take(PagesFor(tokens));
  if (SharesLastPage()) {
    KvPage& last = pages_[length_ / kKvBlock];
    std::memcpy(taken.back().get(), last.get(), static_cast<std::size_t>(pool_->page_bytes()));
    last = std::move(taken.back());
    taken.pop_back();
  }
  std::ranges::move(taken, std::back_inserter(pages_));
}

void KvCache::Share(std::span<const KvPage> pages) {
  if (length_ % kKvBlock != 0) Fail(ErrorKind::kInternal, "whole pages cannot follow {} tokens", length_);
  pages_.resize(KvPages(length_));
  pages_.insert(pages_.end(), pages.begin(), pages.end());
  length_ += std::ssize(pages) * kKvBlock;
}

void KvCache::Adopt(std::span<const KvPage> pages) {
  if (std::ssize(pages) > length_ / kKvBlock)
    Fail(ErrorKind::kInternal, "{} whole pages cannot replace those of {} tokens", pages.size(), length_);
  std::ranges::copy(pages, pages_.begin());
}

void KvCache::LayerPages(std::int64_t layer, std::vector<std::byte*>& out) const {
  out.clear();
  for (const KvPage& page : pages_) out.push_back(page.get() + layer * layout().PageBytes());
}

std::int64_t KvCache::Bytes(const LlamaConfig& config, std::int64_t tokens, Type type) {
  return config.layers * KvPages(tokens) * KvLayout{type, config.kv_heads, config.head_dim}.PageBytes();
}

}  // namespace longspan
