// Keys and values of one sequence, in pages that grow with it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/memory.h"
#include "kernels/attention_views.h"
#include "model/config.h"
#include "nn/block.h"

namespace longspan {

class KvCache {
 public:
  explicit KvCache(const LlamaConfig& config);
  KvCache(KvCache&&) = default;  // not to be copied: a layer points into its own pages
  KvCache& operator=(KvCache&&) = default;

  std::int64_t length() const { return length_; }  // tokens held
  void Truncate(std::int64_t length);              // forgets all tokens from `length` on
  void Clear() { Truncate(0); }

  // Appends `tokens` tokens whose keys and values are random: depth to measure at, without the hours that reading so
  // much would take. What follows is as slow as after a text, and means nothing.
  void AppendRandom(std::int64_t tokens);

  // Bytes that `tokens` tokens take.
  static std::int64_t Bytes(const LlamaConfig& config, std::int64_t tokens);

 private:
  friend class Transformer;

  // One layer, as a block sees it. Pages are laid out as KvView describes.
  class Layer : public KvStore {
   public:
    Layer(std::int64_t kv_heads, std::int64_t head_dim) : kv_heads_(kv_heads), head_dim_(head_dim) {}
    KvView Append(ConstRows k, ConstRows v) override;
    void Truncate(std::int64_t length);
    std::int64_t kv_dim() const { return kv_heads_ * head_dim_; }

   private:
    std::int64_t kv_heads_, head_dim_, length_ = 0;
    std::vector<AlignedVector<float>> pages_;
    std::vector<const float*> pointers_;
  };

  std::vector<Layer> layers_;
  std::int64_t length_ = 0;
};

}  // namespace longspan
