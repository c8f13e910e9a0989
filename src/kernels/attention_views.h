// What attention reads and writes: queries, keys and values of one sequence, wherever they lie.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/key_blocks.h"
#include "kernels/kv_layout.h"
#include "tensor/rows.h"

namespace longspan {

// Keys and values of up to kKvBlock consecutive tokens and one head, as rows of `type`, head_dim elements
// each.
struct KvBlock {
  struct RowsOfType {
    const std::byte* data;
    std::int64_t row_bytes;  // from one token to the next
    const std::byte* row(std::int64_t i) const { return data + i * row_bytes; }
  };
  Type type;
  RowsOfType k, v;
  std::int64_t first;  // order of the first token
  std::int64_t count;
};

// The keys and values of one sequence in one layer: either rows of float, as training has them, or pages, as
// a cache has them.
class KvView {
 public:
  // k, v [tokens, kv_heads * head_dim]
  static KvView OfRows(ConstRows k, ConstRows v, std::int64_t head_dim) {
    KvView view;
    view.type_ = Type::kF32;
    view.k_ = k;
    view.v_ = v;
    view.length_ = k.rows;
    view.head_dim_ = head_dim;
    return view;
  }
  // Pages as KvLayout has them, at addresses fit for float, that hold at least `length` tokens.
  static KvView OfPages(const KvLayout& layout, std::span<const std::byte* const> pages,
                        std::int64_t length) {
    KvView view;
    view.type_ = layout.type;
    view.rotated_ = layout.rotated();
    view.paged_ = true;
    view.pages_ = pages;
    view.row_bytes_ = layout.RowBytes();
    view.length_ = length;
    return view;
  }

  Type type() const { return type_; }
  bool rotated() const { return rotated_; }  // keys and values are times the Hadamard matrix
  bool paged() const { return paged_; }
  std::int64_t length() const { return length_; }
  std::int64_t blocks() const { return (length_ + kKvBlock - 1) / kKvBlock; }

  KvBlock Block(std::int64_t kv_head, std::int64_t block) const {
    const std::int64_t first = block * kKvBlock, count = std::min(kKvBlock, length_ - first);
    if (!paged_) {
      const std::int64_t column = kv_head * head_dim_;
      return {type_, RowsFrom(k_, first, column), RowsFrom(v_, first, column), first, count};
    }
    const std::int64_t bytes = kKvBlock * row_bytes_;  // of K, or V, of one head
    const std::byte* k = pages_[block] + kv_head * 2 * bytes;
    return {type_, {k, row_bytes_}, {k + bytes, row_bytes_}, first, count};
  }

 private:
  static KvBlock::RowsOfType RowsFrom(ConstRows rows, std::int64_t first, std::int64_t column) {
    return {reinterpret_cast<const std::byte*>(&rows.at(first, column)),
            rows.stride * static_cast<std::int64_t>(sizeof(float))};
  }

  Type type_ = Type::kF32;
  bool rotated_ = false, paged_ = false;
  ConstRows k_, v_;
  std::span<const std::byte* const> pages_;
  std::int64_t row_bytes_ = 0;
  std::int64_t length_ = 0, head_dim_ = 0;
};

struct AttentionShape {
  std::int64_t heads;
  std::int64_t kv_heads;
  std::int64_t head_dim;
  float scale;  // of the scores, 1 / sqrt(head_dim) as a rule
  // Tokens that a query sees at most, itself included: Mistral's sliding window (Jiang et al. 2023,
  // section 2).
  std::int64_t window = kNoWindow;
  static constexpr std::int64_t kNoWindow = std::numeric_limits<std::int64_t>::max();
  std::int64_t group() const { return heads / kv_heads; }
};

// What attention reads of one sequence. Query i has order first_order + i and sees the keys of order up to
// its own that belong to its document and to its window.
struct AttentionInput {
  ConstRows q;  // [n, heads * head_dim], after RoPE
  KvView kv;    // at least first_order + n tokens
  std::int64_t first_order = 0;
  std::span<const std::int32_t> documents = {};  // of every key, by order; empty where all are one document
};

// One sequence's share of a forward call: what is read, and where the result goes.
struct AttentionSequence : AttentionInput {
  Rows out;               // [n, heads * head_dim]
  Rows log_sum_exp = {};  // [heads, n], kept for the backward pass; may be empty
  // A choice for the n queries and the blocks of `kv`: what it leaves out is not attended to. Null: all.
  const KeyBlocks* blocks = nullptr;
};

// The order of the first key that the query of order `order` sees; it sees all from there to its own.
// Documents do not decrease.
inline std::int64_t FirstSeen(const AttentionShape& shape, const AttentionInput& s, std::int64_t order) {
  std::int64_t document = 0;
  if (!s.documents.empty()) {
    const auto at = s.documents.begin() + order;
    document = std::lower_bound(s.documents.begin(), at, *at) - s.documents.begin();
  }
  return std::max(document, order - shape.window + 1);
}

// The backward pass of one sequence that attended to itself (first_order 0, keys as rows).
struct AttentionBackwardSequence : AttentionInput {
  ConstRows out, log_sum_exp;  // what the forward pass wrote
  ConstRows dout;              // [n, heads * head_dim]
  Rows dq;                     // [n, heads * head_dim]       overwritten
  Rows dk, dv;                 // [n, kv_heads * head_dim]    overwritten
};

}  // namespace longspan
