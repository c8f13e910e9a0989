// One sequence that a model has read so far: tokens go in, hidden states and logits come out.
//
// What infer/ and eval/ ask of a model, and no more, so that both are tested with models whose answers are
// known by hand.
#pragma once

#include <cstdint>
#include <span>

#include "model/kv_cache.h"
#include "model/transformer.h"
#include "tensor/rows.h"

namespace longspan {

class Sequence {
 public:
  virtual ~Sequence() = default;

  virtual std::int64_t vocab_size() const = 0;
  virtual std::int64_t dim() const = 0;     // width of a hidden state
  virtual std::int64_t length() const = 0;  // tokens read
  virtual void Truncate(std::int64_t length) = 0;

  // Reads `tokens`; hidden [tokens, dim].
  virtual void Forward(std::span<const std::int32_t> tokens, Rows hidden) = 0;
  // logits [rows, vocab_size] of hidden [rows, dim].
  virtual void Logits(ConstRows hidden, Rows logits) const = 0;
};

// A sequence read by a Llama, which must outlive it.
class TransformerSequence : public Sequence {
 public:
  explicit TransformerSequence(const Transformer& model, Type cache_type = Type::kF32);

  std::int64_t vocab_size() const override { return model_.config().vocab_size; }
  std::int64_t dim() const override { return model_.config().dim; }
  std::int64_t length() const override { return cache_.length(); }
  void Truncate(std::int64_t length) override { cache_.Truncate(length); }
  void Forward(std::span<const std::int32_t> tokens, Rows hidden) override;
  void Logits(ConstRows hidden, Rows logits) const override;

 private:
  const Transformer& model_;
  KvCache cache_;
};

}  // namespace longspan
