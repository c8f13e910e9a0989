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

  // Sets `key` to that of the word of `text` from `begin` on, 1 to kLongest bytes. Each part of it is written
  // by itself, as it is read: one read of what several writes made would wait for them.
  void SetKey(std::string_view text, std::size_t begin, std::size_t size, Key& key) const {
    std::uint64_t hash = size;
    const char* const word = text.data() + begin;
    std::array<char, kLongest> last;
    const bool inside = text.size() - begin >= kLongest;
    if (!inside) {
      last = {};
      std::memcpy(last.data(), word, size);
    }
    const char* const bytes = inside ? word : last.data();
    for (std::size_t i = 0; i < kUnits; ++i) {
      std::uint64_t unit;
      std::memcpy(&unit, bytes + 8 * i, sizeof unit);
      unit &= kMasks[size][i];
      key.units[i] = unit;
      hash = ((hash ^ unit) * 0x9E3779B97F4A7C15) ^ hash >> 29;
    }
    key.size = static_cast<std::uint32_t>(size);
    hash ^= hash >> 32;
    key.set = static_cast<std::uint32_t>(hash * 0xD6E8FEB86659FD93 >> 32) & mask_;
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
  // By the length of a word: its bytes among those of a unit.
  static constexpr auto kMasks = [] {
    std::array<std::array<std::uint64_t, kUnits>, kLongest + 1> masks{};
    for (std::size_t size = 0; size <= kLongest; ++size) {
      for (std::size_t byte = 0; byte < size; ++byte)
        masks[size][byte / 8] |= std::uint64_t{0xFF} << byte % 8 * 8;
    }
    return masks;
  }();

  struct Slot {
    std::array<std::uint64_t, kUnits> units;
    Value value;
    bool Is(const Key& key) const {
      std::uint64_t difference = value.size ^ key.size;
      for (std::size_t i = 0; i < kUnits; ++i) difference |= units[i] ^ key.units[i];
      return difference == 0;
    }
  };
  static_assert(sizeof(Slot) == 8 * kUnits + 4 * (kIds + 1));
  using Set = std::array<Slot, 2>;

  std::uint32_t mask_;
  HugePages memory_;
  Set* sets_;
};

// What one thread remembers, within 6 MB. Most words are short and have few ids, and so do the slots for
// them.
class WordCache {
 public:
  using Short = WordTable<2, 3>;
  using Long = WordTable<4, 7>;

  Short short_words{std::size_t{1} << 16};
  Long long_words{std::size_t{1} << 14};

  // Appends the ids of `text` from `begin` to `end`, which is not empty, if that word is known.
  bool Find(std::string_view text, std::size_t begin, std::size_t end, std::vector<std::int32_t>& ids) {
    return FindIn(short_words, text, begin, end - begin, ids) ||
           FindIn(long_words, text, begin, end - begin, ids);
  }
  void Add(std::string_view text, std::size_t begin, std::size_t end, std::span<const std::int32_t> ids) {
    const std::size_t size = end - begin;
    if (size <= Short::kLongest && ids.size() <= Short::kMostIds)
      AddTo(short_words, text, begin, size, ids);
    else if (size <= Long::kLongest && ids.size() <= Long::kMostIds)
      AddTo(long_words, text, begin, size, ids);
  }

 private:
  template <class Table>
  static bool FindIn(Table& table, std::string_view text, std::size_t begin, std::size_t size,
                     std::vector<std::int32_t>& ids) {
    if (size > Table::kLongest) return false;
    typename Table::Key key;
    table.SetKey(text, begin, size, key);
    const auto* value = table.Find(key);
    if (value == nullptr) return false;
    ids.insert(ids.end(), value->ids.begin(), value->ids.begin() + value->count);
    return true;
  }
  template <class Table>
  static void AddTo(Table& table, std::string_view text, std::size_t begin, std::size_t size,
                    std::span<const std::int32_t> ids) {
    typename Table::Key key;
    table.SetKey(text, begin, size, key);
    table.Add(key, ids);
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
