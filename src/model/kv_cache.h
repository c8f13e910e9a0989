// Keys and values of one sequence, in pages that grow with it and may be shared with other sequences.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/config.h"
#include "model/kv_page_pool.h"

namespace longspan {

// A page that others hold too is never written: Reserve copies it first. Caches that share pages belong to
// one thread at a time.
class KvCache {
 public:
  explicit KvCache(std::shared_ptr<KvPagePool> pool);
  // With a pool of its own, without limit.
  explicit KvCache(const LlamaConfig& config, Type type = Type::kF32);
  KvCache(KvCache&&) = default;  // copies are made by Fork, never by accident
  KvCache& operator=(KvCache&&) = default;

  std::int64_t length() const { return length_; }  // tokens held
  const KvLayout& layout() const { return pool_->layout(); }
  const KvPagePool& pool() const { return *pool_; }

  // The same sequence once more. All pages are shared.
  KvCache Fork() const;

  // Forgets all tokens from `length` on, and gives back pages that hold none.
  void Truncate(std::int64_t length);
  void Clear() { Truncate(0); }

  // Makes room for `tokens` more tokens in pages that this cache alone holds. On Error(kOutOfMemory) the
  // cache is unchanged.
  void Reserve(std::int64_t tokens);
  // How many pages Reserve would take.
  std::int64_t PagesFor(std::int64_t tokens) const;

  // Counts `tokens` more tokens as held. There must be room for them, and their keys and values must be in
  // the pages.
  void Advance(std::int64_t tokens) { length_ += tokens; }

  // All pages, in the order of the tokens; the last may be partly filled.
  std::span<const KvPage> pages() const { return pages_; }
  // Continues with whole pages of another cache of the same pool. Only where the last page is full.
  void Share(std::span<const KvPage> pages);
  // Holds these pages, which another cache of the same pool filled from the same tokens, in place of its own
  // first ones.
  void Adopt(std::span<const KvPage> pages);
  // The part of each page that belongs to `layer`.
  void LayerPages(std::int64_t layer, std::vector<std::byte*>& out) const;

  // Bytes that `tokens` tokens take.
  static std::int64_t Bytes(const LlamaConfig& config, std::int64_t tokens, Type type = Type::kF32);

 private:
  bool SharesLastPage() const;  // and would write to it

  std::shared_ptr<KvPagePool> pool_;
  std::vector<KvPage> pages_;
  std::int64_t length_ = 0;
};

// Pages that hold `tokens` tokens.
inline std::int64_t KvPages(std::int64_t tokens) { return (tokens + kKvBlock - 1) / kKvBlock; }

}  // namespace longspan
