// What attention reads and writes: queries, keys and values of one sequence, wherever they lie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/kv_layout.h"
#include "tensor/rows.h"

namespace longspan {

// Keys and values of up to kKvBlock consecutive tokens and one head. Element (token t, dimension d) is at
// t * token_stride + d * dim_stride, so that the same code reads plain rows and pages.
struct KvBlock {
  struct Elements {
    const float* data;
    std::int64_t token_stride;
    std::int64_t dim_stride;
  };
  Elements k, v;
  std::int64_t first;  // order of the first token
  std::int64_t count;
};

// The keys and values of one sequence in one layer: either rows, as training has them, or pages of kKvBlock
// tokens, as a cache has them. A page holds, for each KV head in turn, K as [kKvBlock, head_dim] and then V
// transposed as [head_dim, kKvBlock]: the order in which the two products of attention, S^T = K Q^T and
// O^T = V^T P^T, read them as plain rows.
class KvView {
 public:
  // k, v [tokens, kv_heads * head_dim]
  static KvView OfRows(ConstRows k, ConstRows v, std::int64_t head_dim) {
    KvView view;
    view.k_ = k;
    view.v_ = v;
    view.length_ = k.rows;
    view.head_dim_ = head_dim;
    return view;
  }
  static KvView OfPages(std::span<const float* const> pages, std::int64_t length, std::int64_t head_dim) {
    KvView view;
    view.pages_ = pages;
    view.length_ = length;
    view.head_dim_ = head_dim;
    return view;
  }

  static KvView OfPages(const KvLayout& layout, std::span<const std::byte* const> pages, std::int64_t length) {
    KvView view;
    view.byte_pages_ = pages;
    view.length_ = length;
    view.head_dim_ = layout.head_dim;
    return view;
  }

  static std::int64_t PageFloats(std::int64_t kv_heads, std::int64_t head_dim) {
    return 2 * kKvBlock * kv_heads * head_dim;
  }

  std::int64_t length() const { return length_; }
  std::int64_t blocks() const { return (length_ + kKvBlock - 1) / kKvBlock; }

  KvBlock Block(std::int64_t kv_head, std::int64_t block) const {
    const std::int64_t first = block * kKvBlock;
    const std::int64_t count = std::min(kKvBlock, length_ - first);
    if (!byte_pages_.empty()) {
      const auto* k = reinterpret_cast<const float*>(byte_pages_[static_cast<std::size_t>(block)]) + kv_head * PageFloats(1, head_dim_);
      return {{k, head_dim_, 1}, {k + kKvBlock * head_dim_, head_dim_, 1}, first, count};
    }
    if (pages_.empty()) {
      const std::int64_t column = kv_head * head_dim_;
      return {{&k_.at(first, column), k_.stride, 1}, {&v_.at(first, column), v_.stride, 1}, first, count};
    }
    const float* k = pages_[static_cast<std::size_t>(block)] + kv_head * PageFloats(1, head_dim_);
    return {{k, head_dim_, 1}, {k + kKvBlock * head_dim_, 1, kKvBlock}, first, count};
  }

 private:
  ConstRows k_, v_;
  std::span<const float* const> pages_;
  std::span<const std::byte* const> byte_pages_;
  std::int64_t length_ = 0, head_dim_ = 0;
};

struct AttentionShape {
  std::int64_t heads;
  std::int64_t kv_heads;
  std::int64_t head_dim;
  float scale;  // of the scores, 1 / sqrt(head_dim) as a rule
  std::int64_t group() const { return heads / kv_heads; }
};

// One sequence's share of a call. Query i has order first_order + i and sees the keys of order up to its own
// that belong to its document.
struct AttentionSequence {
  ConstRows q;  // [n, heads * head_dim], after RoPE
  KvView kv;    // at least first_order + n tokens
  std::int64_t first_order = 0;
  std::span<const std::int32_t> documents;  // of every key, by order; empty where all are one document
  Rows out;                                 // [n, heads * head_dim]
  Rows log_sum_exp;                         // [heads, n], kept for the backward pass; may be empty
};

// The backward pass of one sequence that attended to itself (first_order 0, keys as rows).
struct AttentionBackwardSequence {
  AttentionSequence forward;  // as it was called, with out and log_sum_exp filled
  ConstRows dout;             // [n, heads * head_dim]
  Rows dq;                    // [n, heads * head_dim]       overwritten
  Rows dk, dv;                // [n, kv_heads * head_dim]    overwritten
};

}  // namespace longspan
