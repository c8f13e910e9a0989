#include "model/kv_cache.h"

#include <algorithm>

#include "base/parallel.h"
#include "base/random.h"
#include "tensor/rows.h"

namespace longspan {

KvCache::KvCache(const LlamaConfig& config)
    : layers_(static_cast<std::size_t>(config.layers), Layer(config.kv_heads, config.head_dim)) {}

void KvCache::Truncate(std::int64_t length) {
  length_ = std::min(length_, length);
  for (Layer& layer : layers_) layer.Truncate(length_);
}

void KvCache::AppendRandom(std::int64_t tokens) {
  ParallelFor(std::ssize(layers_), [&](std::int64_t i) {
    Layer& layer = layers_[static_cast<std::size_t>(i)];
    // The same few rows again and again: random numbers for all would take longer than all else.
    Matrix k(kKvBlock, layer.kv_dim()), v(kKvBlock, layer.kv_dim());
    Random random(0, static_cast<std::uint64_t>(i), RandomPurpose::kSynthetic);
    for (Matrix* rows : {&k, &v}) {
      for (float& x : rows->span()) x = random.Normal();
    }
    for (std::int64_t left = tokens; left > 0; left -= kKvBlock) {
      const std::int64_t n = std::min(left, kKvBlock);
      layer.Append(ConstRows(k).Slice(0, n), ConstRows(v).Slice(0, n));
    }
  });
  length_ += tokens;
}

std::int64_t KvCache::Bytes(const LlamaConfig& config, std::int64_t tokens) {
  const std::int64_t pages = (tokens + kKvBlock - 1) / kKvBlock;
  return config.layers * pages * KvView::PageFloats(config.kv_heads, config.head_dim) * static_cast<std::int64_t>(sizeof(float));
}

void KvCache::Layer::Truncate(std::int64_t length) {
  length_ = std::min(length_, length);
  pages_.resize(static_cast<std::size_t>((length_ + kKvBlock - 1) / kKvBlock));
  pointers_.resize(pages_.size());
}

KvView KvCache::Layer::Append(ConstRows k, ConstRows v) {
  for (std::int64_t i = 0; i < k.rows; ++i, ++length_) {
    const std::int64_t slot = length_ % kKvBlock;
    if (slot == 0) {
      pages_.emplace_back(static_cast<std::size_t>(KvView::PageFloats(kv_heads_, head_dim_)));
      pointers_.push_back(pages_.back().data());
    }
    for (std::int64_t h = 0; h < kv_heads_; ++h) {
      float* keys = pages_.back().data() + h * KvView::PageFloats(1, head_dim_);
      float* values = keys + kKvBlock * head_dim_;
      std::copy_n(&k.at(i, h * head_dim_), head_dim_, keys + slot * head_dim_);
      for (std::int64_t d = 0; d < head_dim_; ++d) values[d * kKvBlock + slot] = v.at(i, h * head_dim_ + d);
    }
  }
  return KvView::OfPages(pointers_, length_, head_dim_);
}

}  // namespace longspan
