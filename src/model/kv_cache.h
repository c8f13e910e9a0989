// Keys and values of one sequence, in pages that grow with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/memory.h"
#include "kernels/attention_views.h"
#include "model/config.h"
#include "nn/block.h"

namespace longspan {

class KvCache {
 public:
  // Error(kUnsupported) for a type that cannot hold this model's heads.
  explicit KvCache(const LlamaConfig& config, Type type = Type::kF32);
  KvCache(KvCache&&) = default;  // not to be copied: a layer points into its own pages
  KvCache& operator=(KvCache&&) = default;

  std::int64_t length() const { return length_; }  // tokens held
  void Truncate(std::int64_t length);              // forgets all tokens from `length` on
  void Clear() { Truncate(0); }

  // Bytes that `tokens` tokens take.
  static std::int64_t Bytes(const LlamaConfig& config, std::int64_t tokens, Type type = Type::kF32);

 private:
  friend class Transformer;

  // One layer, as a block sees it.
  class Layer : public KvStore {
   public:
    explicit Layer(const KvLayout& layout) : layout_(layout) {}
    KvView Append(const Kernels& kernels, ConstRows k, ConstRows v) override;
    void Truncate(std::int64_t length);

   private:
    KvLayout layout_;
    std::int64_t length_ = 0;
    std::vector<AlignedVector<std::byte>> pages_;
    std::vector<std::byte*> pointers_;
  };

  std::vector<Layer> layers_;
  std::int64_t length_ = 0;
};

}  // namespace longspan
