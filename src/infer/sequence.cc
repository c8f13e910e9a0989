#include "infer/sequence.h"

namespace longspan {

TransformerSequence::TransformerSequence(const Transformer& model, Type cache_type)
    : model_(model), cache_(model.config(), cache_type) {}

void TransformerSequence::Forward(std::span<const std::int32_t> tokens, Rows hidden) {
  model_.Forward(tokens, cache_, hidden);
}

void TransformerSequence::Logits(ConstRows hidden, Rows logits) const { model_.Logits(hidden, logits); }

}  // namespace longspan
