// Shapes of small models for tests.
#pragma once

#include "model/config.h"

namespace longspan::oracle {

// Grouped heads, and sizes that are all different, so that confusing two of them shows.
inline LlamaConfig SmallConfig() {
  LlamaConfig c;
  c.vocab_size = 61;
  c.dim = 24;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 8;
  c.hidden_dim = 40;
  c.context = 256;
  return c;
}

// One layer of one head, all of one width: for tests that need any model at all.
inline LlamaConfig MinimalConfig(std::int64_t vocab_size, std::int64_t width) {
  LlamaConfig c;
  c.vocab_size = vocab_size;
  c.dim = c.head_dim = c.hidden_dim = width;
  c.layers = c.heads = c.kv_heads = 1;
  c.context = 64;
  return c;
}

}  // namespace longspan::oracle
