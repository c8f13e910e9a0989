// Remembers how words were tokenised. Text repeats its words; merging each once is what makes encoding fast.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/huge_pages.h"

namespace longspan {

// Words of up to 8 * kUnits bytes with up to kIds ids, in sets of two: the first of a set was asked for last,
// the second gives way to a new word. So words of a rare kind never drive out the frequent ones.
template <std::size_t kUnits, std::size_t kIds>
class WordTable {
 public:
  static constexpr std::size_t kLongest = 8 * kUnits, kMostIds = kIds;

  struct Key {
    std::array<std::uint64_t, kUnits> units;  // the word's bytes, then zeros
    std::uint32_t size;
    std::uint32_t set;
  };
  struct Value {
    std::array<std::int32_t, kIds> ids;
    std::uint8_t count;
    std::uint8_t size;  // of the word; 0: the slot is empty, as memory is at first
  };

  explicit WordTable(std::size_t sets)  // a power of two
      : mask_(static_cast<std::uint32_t>(sets - 1)),
        memory_(sets * sizeof(Set)),
        sets_(reinterpret_cast<Set*>(memory_.bytes().data())) {}

  // The key of `text` from `begin` on, 1 to kLongest bytes.
  Key KeyOf(std::string_view text, std::size_t begin, std::size_t size) const {
    Key key{{}, static_cast<std::uint32_t>(size), 0};
    if (text.size() - begin >= kLongest) {
      std::memcpy(key.units.data(), text.data() + begin, kLongest);
      for (std::size_t i = 0; i < kUnits; ++i) {
        key.units[i] &= kMasks[std::min<std::size_t>(size - std::min(size, 8 * i), 8)];
      }
    } else {
      std::memcpy(key.units.data(), text.data() + begin, size);
    }
    std::uint64_t hash = size;
    for (const std::uint64_t unit : key.units) hash = ((hash ^ unit) * 0x9E3779B97F4A7C15) ^ hash >> 29;
    hash ^= hash >> 32;
    key.set = static_cast<std::uint32_t>(hash * 0xD6E8FEB86659FD93 >> 32) & mask_;
    return key;
  }

  void Prefetch(const Key& key) const { __builtin_prefetch(&sets_[key.set]); }

  // What is known of a word, or nullptr; until the next call.
  const Value* Find(const Key& key) {
    Set& set = sets_[key.set];
    if (set[0].Is(key)) return &set[0].value;
    if (!set[1].Is(key)) return nullptr;
    std::swap(set[0], set[1]);
    return &set[0].value;
  }

  // At most kIds ids.
  void Add(const Key& key, std::span<const std::int32_t> ids) {
    Set& set = sets_[key.set];
    Slot& slot = set[0].value.size == 0 ? set[0] : set[1];
    slot.units = key.units;
    slot.value.size = static_cast<std::uint8_t>(key.size);
    slot.value.count = static_cast<std::uint8_t>(ids.size());
    std::copy(ids.begin(), ids.end(), slot.value.ids.begin());
  }

 private:
  static constexpr std::array<std::uint64_t, 9> kMasks = [] {
    std::array<std::uint64_t, 9> masks{};
    for (int bytes = 0; bytes < 9; ++bytes)
      masks[bytes] = bytes == 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << 8 * bytes) - 1;
    return masks;
  }();

  struct Slot {
    std::array<std::uint64_t, kUnits> units;
    Value value;
    bool Is(const Key& key) const { return units == key.units && value.size == key.size; }
  };
  static_assert(sizeof(Slot) == 8 * kUnits + 4 * (kIds + 1));
  using Set = std::array<Slot, 2>;

  std::uint32_t mask_;
  HugePages memory_;
  Set* sets_;
};

// What one thread remembers, within 4 MB. Most words are short and have few ids, and so do the slots for
// them.
class WordCache {
 public:
  using Short = WordTable<2, 3>;
  using Long = WordTable<4, 7>;

  Short short_words{std::size_t{1} << 15};
  Long long_words{std::size_t{1} << 14};

  // Appends the ids of `text` from `begin` to `end`, which is not empty, if that word is known.
  bool Find(std::string_view text, std::size_t begin, std::size_t end, std::vector<std::int32_t>& ids) {
    return FindIn(short_words, text, begin, end - begin, ids) ||
           FindIn(long_words, text, begin, end - begin, ids);
  }
  void Add(std::string_view text, std::size_t begin, std::size_t end, std::span<const std::int32_t> ids) {
    const std::size_t size = end - begin;
    if (size <= Short::kLongest && ids.size() <= Short::kMostIds)
      short_words.Add(short_words.KeyOf(text, begin, size), ids);
    else if (size <= Long::kLongest && ids.size() <= Long::kMostIds)
      long_words.Add(long_words.KeyOf(text, begin, size), ids);
  }

 private:
  template <class Table>
  static bool FindIn(Table& table, std::string_view text, std::size_t begin, std::size_t size,
                     std::vector<std::int32_t>& ids) {
    if (size > Table::kLongest) return false;
    const auto* value = table.Find(table.KeyOf(text, begin, size));
    if (value == nullptr) return false;
    ids.insert(ids.end(), value->ids.begin(), value->ids.begin() + value->count);
    return true;
  }
};

// Gives each text that is being encoded a cache of its own, so that no word waits for a lock. There are as
// many caches as texts were ever encoded at once.
class WordCaches {
 public:
  class Lease {
   public:
    explicit Lease(WordCaches& from) : from_(from), cache_(from.Take()) {}
    ~Lease() { from_.Return(std::move(cache_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    WordCache& operator*() const { return *cache_; }

   private:
    WordCaches& from_;
    std::unique_ptr<WordCache> cache_;
  };

 private:
  std::unique_ptr<WordCache> Take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        auto cache = std::move(free_.back());
        free_.pop_back();
        return cache;
      }
      free_.reserve(++made_);  // so that returning one never fails
    }
    return std::make_unique<WordCache>();
  }
  void Return(std::unique_ptr<WordCache> cache) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(cache));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> free_;
  std::size_t made_ = 0;
};

}  // namespace longspan
