#include "benchmark/slim_layer.h"

#include <gtest/gtest.h>

#include "benchmark/cost.h"
#include "kernels/testing/random_blocks.h"
#include "model/testing/small_config.h"

namespace longspan {
namespace {

LlamaConfig Config() {
  LlamaConfig c = oracle::SmallConfig();
  c.vocab_size = 500;
  c.dim = 256;
  c.heads = 16;
  c.kv_heads = 8;
  c.head_dim = 32;
  c.hidden_dim = 1024;
  c.layers = 3;
  return c;
}

TEST(SlimLayer, HasAShareOfHeadsAndHiddenDimensions) {
  const LlamaConfig config = Config();
  const Weights weights = RandomWeights(config, 1);
  const SlimLayer slim = MakeSlimLayer(config, weights, 0.25);
  EXPECT_EQ(slim.config.layers, 1);
  EXPECT_EQ(slim.config.heads, 4);
  EXPECT_EQ(slim.config.kv_heads, 2);
  EXPECT_EQ(slim.config.hidden_dim, 256);
  EXPECT_EQ(slim.config.vocab_size, 64);
  slim.weights.Validate(slim.config, "slim");
  EXPECT_EQ(4 * 3 * (ForwardOperations(slim.config, 1, 0) - AttentionOperations(slim.config, 1, 0)),
            ForwardOperations(config, 1, 0) - AttentionOperations(config, 1, 0));

  const SlimLayer whole = MakeSlimLayer(config, weights, 1);
  EXPECT_EQ(whole.config.heads, 16);
  EXPECT_EQ(whole.config.hidden_dim, 1024);
  whole.weights.Validate(whole.config, "whole");
}

// A width that is no whole number of quantised blocks grows until it is one.
TEST(SlimLayer, KeepsQuantizedBlocksWhole) {
  const LlamaConfig config = Config();
  Weights weights = RandomWeights(config, 1);
  for (LayerWeights& layer : weights.layers) {
    layer.o = RandomBlocks(Type::kQ4_K, config.dim, config.q_dim(), 1);
    layer.down = RandomBlocks(Type::kQ6_K, config.dim, config.hidden_dim, 2);
  }
  const SlimLayer slim = MakeSlimLayer(config, weights, 0.01);
  EXPECT_EQ(slim.config.heads, 8);  // 256 dimensions
  EXPECT_EQ(slim.config.hidden_dim, 256);
  slim.weights.Validate(slim.config, "slim");
}

TEST(SlimLayer, CutsBiasesToo) {
  LlamaConfig config = Config();
  Weights weights = RandomWeights(config, 1);
  for (LayerWeights& layer : weights.layers) {
    layer.q_bias = Tensor::Allocate(Type::kF32, {config.q_dim()});
    layer.k_bias = layer.v_bias = Tensor::Allocate(Type::kF32, {config.kv_dim()});
  }
  const SlimLayer slim = MakeSlimLayer(config, weights, 0.01);
  EXPECT_EQ(slim.weights.layers[0].q_bias.elements(), slim.config.q_dim());
  EXPECT_EQ(slim.weights.layers[0].v_bias.elements(), slim.config.kv_dim());
}

}  // namespace
}  // namespace longspan
