#include "infer/prefix_cache.h"

#include <algorithm>

#include "base/hash.h"

namespace longspan {

std::size_t PrefixCache::KeyHash::operator()(const Key& key) const {
  Hash64 hash;
  hash.Add(key.before);
  hash.Update(std::as_bytes(std::span(key.tokens)));
  return hash.value();
}

PrefixCache::Entries::iterator PrefixCache::Known(Id before, std::span<const std::int32_t> tokens) {
  Key key{before, {}};
  std::ranges::copy(tokens, key.tokens.begin());
  const auto found = index_.find(key);
  return found == index_.end() ? entries_.end() : found->second;
}

// The last page is moved first. So a beginning outlives its continuations, which cannot be found without it.
void PrefixCache::Touch(std::span<const Entries::iterator> path) {
  for (std::size_t i = path.size(); i-- > 0;) entries_.splice(entries_.end(), entries_, path[i]);
}

std::vector<KvPage> PrefixCache::Find(std::span<const std::int32_t> tokens) {
  std::vector<Entries::iterator> path;
  std::vector<KvPage> pages;
  for (Id before = 0; tokens.size() >= kKvBlock; tokens = tokens.subspan(kKvBlock)) {
    const auto entry = Known(before, tokens.first(kKvBlock));
    if (entry == entries_.end()) break;
    path.push_back(entry);
    pages.push_back(entry->page);
    before = entry->id;
  }
  Touch(path);
  return pages;
}

std::vector<KvPage> PrefixCache::Insert(std::span<const std::int32_t> tokens, std::span<const KvPage> pages) {
  std::vector<Entries::iterator> path;
  std::vector<KvPage> known;
  Id before = 0;
  for (const KvPage& page : pages) {
    const auto block = tokens.first(kKvBlock);
    tokens = tokens.subspan(kKvBlock);
    auto entry = Known(before, block);
    if (entry == entries_.end()) {
      Entry made{++last_id_, {before, {}}, page};
      std::ranges::copy(block, made.key.tokens.begin());
      entry = entries_.insert(entries_.end(), std::move(made));
      index_.emplace(entry->key, entry);
      by_id_.emplace(entry->id, entry);
      if (!path.empty()) ++path.back()->continuations;
    } else if (entry->page.use_count() == 1) {
      entry->page = page;  // one of the two is enough
    }
    known.push_back(entry->page);
    path.push_back(entry);
    before = entry->id;
  }
  Touch(path);
  return known;
}

PrefixCache::Entries::iterator PrefixCache::Forget(Entries::iterator entry) {
  if (entry->key.before != 0) --by_id_.at(entry->key.before)->continuations;
  by_id_.erase(entry->id);
  index_.erase(entry->key);
  return entries_.erase(entry);
}

std::int64_t PrefixCache::Evict(std::int64_t count) {
  std::int64_t evicted = 0;
  for (auto entry = entries_.begin(); entry != entries_.end() && evicted < count;) {
    if (entry->page.use_count() > 1 || entry->continuations > 0) {
      ++entry;
      continue;
    }
    entry = Forget(entry);
    ++evicted;
  }
  return evicted;
}

std::int64_t PrefixCache::evictable() const {
  return std::ranges::count_if(entries_, [](const Entry& e) { return e.page.use_count() == 1; });
}

}  // namespace longspan
