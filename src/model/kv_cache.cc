#include "model/kv_cache.h"

#include <algorithm>

namespace longspan {
namespace {

KvLayout LayoutOf(const LlamaConfig& config, Type type) { return {type, config.kv_heads, config.head_dim}; }

std::int64_t PagesFor(std::int64_t tokens) { return (tokens + kKvBlock - 1) / kKvBlock; }

}  // namespace

KvCache::KvCache(const LlamaConfig& config, Type type)
    : layers_(static_cast<std::size_t>(config.layers), Layer(LayoutOf(config, type))) {
  (void)LayoutOf(config, type).PageBytes();  // throws if there can be no such page
}

void KvCache::Truncate(std::int64_t length) {
  length_ = std::min(length_, length);
  for (Layer& layer : layers_) layer.Truncate(length_);
}

std::int64_t KvCache::Bytes(const LlamaConfig& config, std::int64_t tokens, Type type) {
  return config.layers * PagesFor(tokens) * LayoutOf(config, type).PageBytes();
}

void KvCache::Layer::Truncate(std::int64_t length) {
  length_ = std::min(length_, length);
  pages_.resize(static_cast<std::size_t>(PagesFor(length_)));
  pointers_.resize(pages_.size());
}

KvView KvCache::Layer::Append(const Kernels& kernels, ConstRows k, ConstRows v) {
  const std::int64_t length = length_ + k.rows;
  while (static_cast<std::int64_t>(pages_.size()) < PagesFor(length)) {
    pages_.emplace_back(static_cast<std::size_t>(layout_.PageBytes()));
    pointers_.push_back(pages_.back().data());
  }
  kernels.StoreKv(layout_, k, v, length_, pointers_);
  length_ = length;
  return KvView::OfPages(layout_, pointers_, length_);
}

}  // namespace longspan
