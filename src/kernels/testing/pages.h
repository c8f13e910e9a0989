// Helpers for tests of attention over pages: random sequences in pages of any type.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "kernels/testing/compare.h"

namespace longspan::oracle {

// Documents of every length from one token on, by order.
inline std::vector<std::int32_t> Documents(std::int64_t n) {
  std::vector<std::int32_t> documents;
  Random random(3, 0, RandomPurpose::kTest);
  std::int32_t id = 5;
  for (std::int64_t i = 0; i < n; ++i) {
    if (random.Below(20) == 0) id += 1 + static_cast<std::int32_t>(random.Below(3));
    documents.push_back(id);
  }
  return documents;
}

// Pages that hold the tokens they were made with. Memory that no token was written to is NaN if the type has
// NaNs.
class Pages {
 public:
  Pages(const Kernels& kernels, const KvLayout& layout, ConstRows k, ConstRows v)
      : layout_(layout), length_(k.rows) {
    for (std::int64_t p = 0; p * kKvBlock < length_; ++p) {
      storage_.emplace_back(static_cast<std::size_t>(layout.PageBytes()), std::byte{0xff});
      pointers_.push_back(storage_.back().data());
    }
    kernels.StoreKv(layout, k, v, 0, pointers_);
  }
  KvView view() const { return KvView::OfPages(layout_, pointers_, length_); }
  std::span<std::byte* const> pointers() const { return pointers_; }
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> all;
    for (const auto& page : storage_) all.insert(all.end(), page.begin(), page.end());
    return all;
  }

 private:
  KvLayout layout_;
  std::int64_t length_;
  std::deque<AlignedVector<std::byte>> storage_;
  std::vector<std::byte*> pointers_;
};

// A sequence of random tokens, the last n of which are queries.
struct PagedCase {
  AttentionShape shape;
  Type type;
  std::int64_t before, n;
  std::string what() const {
    return fmt::format("{} heads {}/{} dim {} window {}: {} after {}", Traits(type).name, shape.heads,
                       shape.kv_heads, shape.head_dim, shape.window, n, before);
  }
};
struct PagedInput {
  explicit PagedInput(const PagedCase& c, std::uint64_t stream = 0)
      : q(RandomMatrix(c.n, c.shape.heads * c.shape.head_dim, 3 * stream + 1)),
        k(RandomMatrix(c.before + c.n, c.shape.kv_heads * c.shape.head_dim, 3 * stream + 2)),
        v(RandomMatrix(c.before + c.n, c.shape.kv_heads * c.shape.head_dim, 3 * stream + 3)),
        pages(ReferenceKernels(), {c.type, c.shape.kv_heads, c.shape.head_dim}, k, v) {}
  Matrix q, k, v;
  Pages pages;
};
struct PagedResult {
  Matrix out, log_sum_exp;
};

inline AttentionShape ShapeOf(std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim) {
  return {heads, kv_heads, head_dim, 1.5f / std::sqrt(static_cast<float>(head_dim))};
}

inline PagedResult Attend(const Kernels& kernels, const PagedCase& c, ConstRows q, const KvView& view,
                          std::span<const std::int32_t> documents = {}) {
  PagedResult r{Matrix(c.n, c.shape.heads * c.shape.head_dim), Matrix(c.shape.heads, c.n)};
  const AttentionSequence sequence{{q, view, c.before, documents}, r.out, r.log_sum_exp};
  kernels.Attention(c.shape, {&sequence, 1});
  return r;
}

}  // namespace longspan::oracle
