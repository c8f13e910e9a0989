#include "model/config.h"

#include <array>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace longspan {
namespace {

using Kind = RopeScaling::Kind;
constexpr std::array<std::pair<Kind, std::string_view>, 5> kKinds{{{Kind::kNone, "none"},
                                                                   {Kind::kLinear, "linear"},
                                                                   {Kind::kNtk, "ntk"},
                                                                   {Kind::kYarn, "yarn"},
                                                                   {Kind::kLlama3, "llama3"}}};
constexpr std::int64_t kLongestContext = std::int64_t{1} << 32;

}  // namespace

std::string_view Name(Kind kind) {
  for (const auto& [k, name] : kKinds) {
    if (k == kind) return name;
  }
  return "?";
}

Kind RopeScalingKind(std::string_view text) {
  for (const auto& [kind, name] : kKinds) {
    if (name == text) return kind;
  }
  Fail(ErrorKind::kBadOption, "rope scaling '{}': expected none, linear, ntk, yarn or llama3", text);
}

std::int64_t LlamaConfig::Parameters() const {
  const std::int64_t attention = dim * q_dim() * 2 + dim * kv_dim() * 2;
  const std::int64_t biases = attention_bias ? q_dim() + 2 * kv_dim() : 0;
  const std::int64_t mlp = 3 * dim * hidden_dim;
  const std::int64_t embeddings = vocab_size * dim * (tied_embeddings ? 1 : 2);
  return layers * (attention + biases + mlp + 2 * dim) + dim + embeddings;
}

void LlamaConfig::Validate(std::string_view where) const {
  const auto check = [&](std::int64_t value, std::int64_t limit, const char* what) {
    if (value < 1 || value > limit) {
      Fail(ErrorKind::kInvalidFile, "{}: {} is {}, expected 1 to {}", where, what, value, limit);
    }
  };
  // Limits far above any Llama, low enough that products of two stay far from overflow.
  check(vocab_size, 1 << 24, "vocabulary size");
  check(dim, 1 << 20, "width");
  check(layers, 1 << 12, "number of layers");
  check(heads, 1 << 14, "number of heads");
  check(kv_heads, heads, "number of KV heads");
  check(head_dim, 1 << 12, "head dimension");
  check(hidden_dim, 1 << 22, "feed-forward width");
  check(context, kLongestContext, "context length");
  if (sliding_window < 0 || sliding_window > kLongestContext) {
    Fail(ErrorKind::kInvalidFile, "{}: sliding window is {}, expected 0 (none) or more", where,
         sliding_window);
  }
  if (heads % kv_heads != 0) {
    Fail(ErrorKind::kInvalidFile, "{}: {} heads cannot share {} KV heads evenly", where, heads, kv_heads);
  }
  if (head_dim % 2 != 0)
    Fail(ErrorKind::kInvalidFile, "{}: head dimension {} is odd, expected an even one", where, head_dim);
  if (!(norm_epsilon >= 0 && norm_epsilon < 1)) {
    Fail(ErrorKind::kInvalidFile, "{}: norm epsilon is {}, expected 0 or more and less than 1", where,
         norm_epsilon);
  }
  if (!(rope_theta > 1 && std::isfinite(rope_theta))) {
    Fail(ErrorKind::kInvalidFile, "{}: rope theta is {}, expected a finite number above 1", where,
         rope_theta);
  }
  if (!(rope_scaling.factor > 0 && std::isfinite(rope_scaling.factor))) {
    Fail(ErrorKind::kInvalidFile, "{}: rope scaling factor is {}, expected a finite number above 0", where,
         rope_scaling.factor);
  }
  const RopeScaling& s = rope_scaling;
  if (s.original_context < 0 || s.original_context > kLongestContext) {
    Fail(ErrorKind::kInvalidFile, "{}: original context is {}, expected 0 or more", where,
         s.original_context);
  }
  if (!(s.beta_slow > 0 && s.beta_fast >= s.beta_slow && std::isfinite(s.beta_fast))) {
    Fail(ErrorKind::kInvalidFile, "{}: YaRN beta is {} to {}, expected a range of rotations above 0", where,
         s.beta_slow, s.beta_fast);
  }
  if (!(s.attention_factor >= 0 && std::isfinite(s.attention_factor))) {
    Fail(ErrorKind::kInvalidFile, "{}: attention factor is {}, expected 0 or a finite number above it", where,
         s.attention_factor);
  }
  if (!(s.low_frequency_factor > 0 && s.high_frequency_factor > s.low_frequency_factor &&
        std::isfinite(s.high_frequency_factor))) {
    Fail(ErrorKind::kInvalidFile,
         "{}: frequency factors are {} and {}, expected the first above 0 and below the second", where,
         s.low_frequency_factor, s.high_frequency_factor);
  }
}

}  // namespace longspan
