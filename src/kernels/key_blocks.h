// Which KV blocks attention looks at, where it does not look at all of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kv_layout.h"

namespace longspan {

// Neighbouring queries, or keys, whose mean stands for them where blocks are chosen (Kernels::KeyBlockMass).
inline constexpr std::int64_t kPooledQueries = 8, kPooledKeys = 8;

// A choice of KV blocks for one call of attention, head by head and for each kQueries rows of its q, from the
// first row on. A KV block is kKvBlock keys, from the first key of the sequence on. Keys that causality, a
// window or documents hide stay hidden whatever is chosen; each query must see at least one key.
class KeyBlocks {
 public:
  static constexpr std::int64_t kQueries = 64;
  static std::int64_t QueryBlocks(std::int64_t queries) { return (queries + kQueries - 1) / kQueries; }

  // Nothing is chosen yet.
  KeyBlocks(std::int64_t heads, std::int64_t queries, std::int64_t kv_blocks)
      : query_blocks_(QueryBlocks(queries)),
        kv_blocks_(kv_blocks),
        chosen_(static_cast<std::size_t>(heads * query_blocks_ * kv_blocks)) {}

  std::int64_t query_blocks() const { return query_blocks_; }
  std::int64_t kv_blocks() const { return kv_blocks_; }

  // [kv_blocks], 1 where the block is chosen and otherwise 0.
  std::span<std::uint8_t> Row(std::int64_t head, std::int64_t query_block) {
    return {&chosen_[RowStart(head, query_block)], static_cast<std::size_t>(kv_blocks_)};
  }
  std::span<const std::uint8_t> Row(std::int64_t head, std::int64_t query_block) const {
    return {&chosen_[RowStart(head, query_block)], static_cast<std::size_t>(kv_blocks_)};
  }
  bool Chosen(std::int64_t head, std::int64_t query, std::int64_t key) const {
    return chosen_[RowStart(head, query / kQueries) + key / kKvBlock] != 0;
  }

 private:
  std::int64_t RowStart(std::int64_t head, std::int64_t query_block) const {
    return (head * query_blocks_ + query_block) * kv_blocks_;
  }

  std::int64_t query_blocks_, kv_blocks_;
  std::vector<std::uint8_t> chosen_;
};

// The choice as a kernel asks for it: which columns of a panel look at a KV block, as bits. A column is one
// query of one head, and a panel has at most 64.
class PanelBlocks {
 public:
  // The next column. Without a choice it looks at every block.
  void Add(const KeyBlocks* blocks, std::int64_t head, std::int64_t query) {
    const std::uint64_t column = std::uint64_t{1} << columns_++;
    all_ |= column;
    if (blocks == nullptr) return;
    const std::uint8_t* row = blocks->Row(head, query / KeyBlocks::kQueries).data();
    if (rows_.empty() || rows_.back().chosen != row) rows_.push_back({row, 0});
    rows_.back().columns |= column;
  }

  std::uint64_t all() const { return all_; }  // columns
  std::uint64_t Columns(std::int64_t kv_block) const {
    if (rows_.empty()) return all_;
    std::uint64_t columns = 0;
    for (const Row& row : rows_) columns |= row.chosen[kv_block] != 0 ? row.columns : 0;
    return columns;
  }

 private:
  struct Row {
    const std::uint8_t* chosen;  // [kv_blocks]
    std::uint64_t columns;
  };
  std::vector<Row> rows_;  // one or two, because neighbouring columns share their block of queries
  std::uint64_t all_ = 0;
  int columns_ = 0;
};

}  // namespace longspan
