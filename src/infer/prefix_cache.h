// Pages of keys and values, found by the tokens that they were computed from. Sequences that begin alike
// share them instead of computing them again (prefix caching over pages: Kwon et al. 2023, "Efficient Memory
// Management for Large Language Model Serving with PagedAttention", section 4.4).
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

#include "model/kv_page_pool.h"

namespace longspan {

// A tree of pages: below an entry stand those that continue it. A page is looked up by the entry before it
// and by its own tokens, all of them compared, so that what is found was computed from exactly the tokens
// asked for. Holds its pages until they are evicted.
//
// A page is known once. A sequence that holds a known page must also hold the pages before it, as Find and
// Insert return them. So no sequence holds a continuation of a page that none holds, and every such page can
// be evicted.
class PrefixCache {
 public:
  // Pages of the longest known beginning of `tokens`, in whole pages. They count as used now.
  std::vector<KvPage> Find(std::span<const std::int32_t> tokens);

  // Makes pages known: page i holds kKvBlock tokens from kKvBlock * i on, and `tokens` reaches to the end of
  // the last. Where a page for the same tokens is known already and some sequence holds it, that one stays.
  // Returns the pages that are known now, for the caller to hold in place of its own.
  std::vector<KvPage> Insert(std::span<const std::int32_t> tokens, std::span<const KvPage> pages);

  // Forgets up to `count` pages that no sequence holds, the least recently used first, ends before
  // beginnings, and returns how many.
  std::int64_t Evict(std::int64_t count);

  std::int64_t size() const { return std::ssize(entries_); }  // pages known
  std::int64_t evictable() const;                             // of these, held by no sequence

 private:
  using Id = std::uint64_t;  // of an entry, never given twice; 0: the beginning of all sequences
  struct Key {
    Id before;
    std::array<std::int32_t, kKvBlock> tokens;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const;
  };
  struct Entry {
    Id id;
    Key key;
    KvPage page;
    std::int64_t continuations = 0;  // entries that stand below this one
  };
  using Entries = std::list<Entry>;

  Entries::iterator Known(Id before, std::span<const std::int32_t> tokens);
  void Touch(std::span<const Entries::iterator> path);
  Entries::iterator Forget(Entries::iterator entry);

  Entries entries_;  // the least recently used first; an entry stands after all that continue it
  std::unordered_map<Key, Entries::iterator, KeyHash> index_;
  std::unordered_map<Id, Entries::iterator> by_id_;
  Id last_id_ = 0;
};

}  // namespace longspan
