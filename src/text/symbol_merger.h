// Joining the neighbours of a word, the best pair first: what byte-level BPE and SentencePiece have in
// common.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

namespace longspan {

// A queue of keys, the smallest first, that keeps only so many. A key that does not fit, or is beyond the
// bound that was set then, is dropped, and whoever pushed it must find it again.
class BoundedQueue {
 public:
  // `expected`: how many keys there will be at once, if all are kept.
  explicit BoundedQueue(std::size_t capacity, std::size_t expected = 0)
      : capacity_(std::max<std::size_t>(1, capacity)) {
    keys_.reserve(std::min(2 * capacity_, expected));
  }

  // Takes keys of any size again.
  void Reopen() { bound_ = kNoBound; }
  // Whether no key was dropped since.
  bool complete() const { return bound_ == kNoBound; }

  bool empty() const { return keys_.empty(); }
  void Push(std::uint64_t key) {
    if (key >= bound_) return;
    keys_.push_back(key);
    std::push_heap(keys_.begin(), keys_.end(), std::greater());
    if (keys_.size() >= 2 * capacity_) DropTheGreatest();
  }
  std::uint64_t Pop() {
    std::pop_heap(keys_.begin(), keys_.end(), std::greater());
    const std::uint64_t key = keys_.back();
    keys_.pop_back();
    return key;
  }

 private:
  static constexpr std::uint64_t kNoBound = std::numeric_limits<std::uint64_t>::max();

  void DropTheGreatest() {
    const auto end = keys_.begin() + static_cast<std::ptrdiff_t>(capacity_);
    std::nth_element(keys_.begin(), end, keys_.end());
    bound_ = *end;
    keys_.erase(end, keys_.end());
    std::make_heap(keys_.begin(), keys_.end(), std::greater());
  }

  std::size_t capacity_;
  std::uint64_t bound_ = kNoBound;
  std::vector<std::uint64_t> keys_;
};

// A word while it is merged. It has a cell for each byte, and a symbol covers one or more of them: its first
// cell holds the symbol, its last (where that is another) the complement, so that a symbol is found from
// either side. This takes 4 bytes for a byte of text, and the queue of pairs to be joined 4 more at most:
// where a long word has more pairs than that, the best of them are joined first, and then the others are
// looked for again. The order of joining is the same.
class SymbolCells {
 public:
  explicit SymbolCells(std::size_t bytes) { cells_.reserve(bytes); }

  // `symbol` >= 0 covers the next `size` > 0 cells.
  void Append(std::int32_t symbol, std::size_t size) {
    cells_.resize(cells_.size() + size, kInside);
    cells_.back() = ~symbol;
    cells_[cells_.size() - size] = symbol;
  }

  // A pair that may be joined.
  struct Join {
    std::uint32_t rank;   // the lowest is joined first; of equal ones the leftmost
    std::int32_t symbol;  // what both together become
  };

  // Joins until nothing is left to join. `pairs` has
  //   std::int64_t Size(std::int32_t symbol)                the cells that it covers
  //   std::optional<Join> Find(at, left, right)             whether these may be joined, left begins at `at`
  // `capacity`: the pairs that the queue keeps at least.
  template <class Pairs>
  void Merge(const Pairs& pairs, std::size_t capacity) {
    BoundedQueue queue(capacity, cells_.size());
    do {
      queue.Reopen();
      ForEach(pairs, [&](std::int64_t at, std::int32_t) { Propose(pairs, at, queue); });
      while (!queue.empty()) JoinAt(pairs, queue.Pop(), queue);
    } while (!queue.complete());
  }
  template <class Pairs>
  void Merge(const Pairs& pairs) {
    Merge(pairs, std::max<std::size_t>(std::size_t{1} << 18, cells_.size() / 4));
  }

  // Calls `each(at, symbol)` for all symbols in order.
  template <class Pairs, class Each>
  void ForEach(const Pairs& pairs, Each&& each) const {
    for (std::int64_t at = 0; at < std::ssize(cells_); at += pairs.Size(cells_[at])) each(at, cells_[at]);
  }

 private:
  // Neither the first nor the last cell of a symbol.
  static constexpr std::int32_t kInside = std::numeric_limits<std::int32_t>::min();

  // The pair that begins at `at`, if it may be joined.
  template <class Pairs>
  std::optional<Join> Find(const Pairs& pairs, std::int64_t at) const {
    const std::int64_t next = at + pairs.Size(cells_[at]);
    if (next == std::ssize(cells_)) return std::nullopt;
    return pairs.Find(at, cells_[at], cells_[next]);
  }

  template <class Pairs>
  void Propose(const Pairs& pairs, std::int64_t at, BoundedQueue& queue) const {
    if (const auto join = Find(pairs, at))
      queue.Push(std::uint64_t{join->rank} << 32 | static_cast<std::uint32_t>(at));
  }

  template <class Pairs>
  void JoinAt(const Pairs& pairs, std::uint64_t key, BoundedQueue& queue) {
    const auto at = static_cast<std::int64_t>(key & 0xFFFFFFFF);
    if (cells_[at] < 0) return;  // no longer the beginning of a symbol
    const auto join = Find(pairs, at);
    if (!join || join->rank != key >> 32) return;  // no longer this pair
    const std::int64_t next = at + pairs.Size(cells_[at]);
    const std::int64_t last = next + pairs.Size(cells_[next]) - 1;
    cells_[next] = kInside;
    cells_[last] = ~join->symbol;
    cells_[at] = join->symbol;
    if (at > 0) Propose(pairs, Previous(pairs, at), queue);
    Propose(pairs, at, queue);
  }

  // Where the symbol before `at` begins.
  template <class Pairs>
  std::int64_t Previous(const Pairs& pairs, std::int64_t at) const {
    const std::int32_t last = cells_[at - 1];
    return last >= 0 ? at - 1 : at - pairs.Size(~last);
  }

  std::vector<std::int32_t> cells_;
};

}  // namespace longspan
