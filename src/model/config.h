// What a Llama is made of: the dimensions of the network and the kind of RoPE it uses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace longspan {

// How rotary angles are changed so that a model reaches past the window it was trained on.
struct RopeScaling {
  enum class Kind { kNone, kLinear, kNtk, kYarn, kLlama3 };

  Kind kind = Kind::kNone;
  double factor = 1.0;                 // target window / original window
  std::int64_t original_context = 0;   // the window before scaling (YaRN and llama3)
  double beta_fast = 32.0;             // YaRN: rotations over the original window above which nothing changes
  double beta_slow = 1.0;              // YaRN: below which a dimension is fully interpolated
  double attention_factor = 0.0;       // YaRN: multiplies cos and sin; 0 means 0.1 ln(factor) + 1
  double low_frequency_factor = 1.0;   // llama3
  double high_frequency_factor = 4.0;  // llama3

  bool operator==(const RopeScaling&) const = default;
};

std::string_view Name(RopeScaling::Kind kind);             // "none", "linear", "ntk", "yarn", "llama3"
RopeScaling::Kind RopeScalingKind(std::string_view name);  // Error(kBadOption)

// Whose model it is, which says what RoPE pairs: dimensions 2j and 2j + 1 of a head in Llama's files, j and
// j + head_dim / 2 in Qwen2's. Mistral is a Llama with a window.
enum class Architecture { kLlama, kQwen2 };

// By GGUF's general.architecture: "llama", "qwen2".
std::string_view Name(Architecture architecture);
std::optional<Architecture> ArchitectureNamed(std::string_view name);
std::string ArchitectureNames();  // "llama or qwen2", for messages

struct LlamaConfig {
  std::string name;
  std::int64_t vocab_size = 0;
  std::int64_t dim = 0;  // width of the residual stream
  std::int64_t layers = 0;
  std::int64_t heads = 0;     // query heads
  std::int64_t kv_heads = 0;  // key and value heads; divides heads
  std::int64_t head_dim = 0;
  std::int64_t hidden_dim = 0;  // width of the SwiGLU
  std::int64_t context = 0;     // the window the model is meant for, tokens
  double norm_epsilon = 1e-5;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling = {};
  bool tied_embeddings = false;  // the LM head is the embedding
  Architecture architecture = Architecture::kLlama;
  bool attention_bias = false;      // q, k and v have one
  std::int64_t sliding_window = 0;  // tokens that a token sees at most, itself included; 0: all before it

  std::int64_t q_dim() const { return heads * head_dim; }
  std::int64_t kv_dim() const { return kv_heads * head_dim; }
  std::int64_t Parameters() const;

  // Error(kInvalidFile), naming `where`, unless every dimension is positive, within sane limits and
  // consistent.
  void Validate(std::string_view where) const;
};

}  // namespace longspan
