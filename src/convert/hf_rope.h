// RoPE as Hugging Face's config.json says it: rope_theta and rope_scaling, or rope_parameters with both
// (transformers 5); a scaling's kind is under `rope_type`, in older files `type`.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/progress.h"
#include "formats/json_object.h"
#include "model/config.h"
#include "tensor/tensor.h"

namespace longspan {

// Sets rope_theta and rope_scaling of `config`, whose head_dim and context are known. Error(kUnsupported) for
// kinds that GGUF's llama cannot express. "dynamic" changes angles only beyond the window, where neither GGUF
// nor llama.cpp follow: it becomes no scaling, with a message.
void ReadHfRope(const JsonObject& json, LlamaConfig& config, Progress& progress);

// Sets `rope_theta` and `rope_scaling` (null where there is none), the keys that every version of
// transformers reads.
void WriteHfRope(const LlamaConfig& config, nlohmann::ordered_json& json);

// The llama3 scaling that makes `factors`, GGUF's rope_freqs.weight: GGUF keeps the divisors and not the four
// numbers they were made of. Of the settings that give the same divisors, the one with Llama 3's window of
// 8,192. Error (kUnsupported), naming `where`, for divisors that are not llama3 scaling's.
RopeScaling Llama3ScalingOf(const Tensor& factors, const LlamaConfig& config, const std::string& where);

}  // namespace longspan
