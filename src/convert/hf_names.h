// The names of a Llama's tensors in Hugging Face's checkpoints.
#pragma once

#include <string>
#include <string_view>

namespace longspan {

// "layers.3.q" of ForEachTensor is "model.layers.3.self_attn.q_proj.weight", "output" is "lm_head.weight".
std::string HfTensorName(std::string_view name);

// Whether a checkpoint's tensor says nothing: the inverse frequencies of RoPE, which old checkpoints store
// and every reader computes.
bool IsRedundantHfTensor(std::string_view hf_name);

// Whether the rows of `name` (of ForEachTensor) are those of heads that RoPE rotates: q, k and their biases.
bool HasRotatedRows(std::string_view name);

}  // namespace longspan
