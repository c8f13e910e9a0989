#include "model/shapes.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <fmt/ranges.h>

#include "base/error.h"

namespace longspan {

std::span<const LlamaConfig> AllShapes() {
  static const std::array<LlamaConfig, 3> shapes{{
      {.name = "llama3-8b",
       .vocab_size = 128256,
       .dim = 4096,
       .layers = 32,
       .heads = 32,
       .kv_heads = 8,
       .head_dim = 128,
       .hidden_dim = 14336,
       .context = 8192,
       .norm_epsilon = 1e-5,
       .rope_theta = 500000.0},
      {.name = "llama3-70b",
       .vocab_size = 128256,
       .dim = 8192,
       .layers = 80,
       .heads = 64,
       .kv_heads = 8,
       .head_dim = 128,
       .hidden_dim = 28672,
       .context = 8192,
       .norm_epsilon = 1e-5,
       .rope_theta = 500000.0},
      {.name = "llama2-7b",
       .vocab_size = 32000,
       .dim = 4096,
       .layers = 32,
       .heads = 32,
       .kv_heads = 32,
       .head_dim = 128,
       .hidden_dim = 11008,
       .context = 4096,
       .norm_epsilon = 1e-5,
       .rope_theta = 10000.0},
  }};
  return shapes;
}

const LlamaConfig& FindShape(std::string_view name) {
  std::vector<std::string_view> names;
  for (const LlamaConfig& shape : AllShapes()) {
    if (shape.name == name) return shape;
    names.push_back(shape.name);
  }
  Fail(ErrorKind::kBadOption, "no shape is called {}; there are {}", name, fmt::join(names, ", "));
}

}  // namespace longspan
