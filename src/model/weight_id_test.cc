#include "model/weight_id.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "model/testing/small_config.h"
#include "model/weights.h"

namespace longspan {
namespace {

TEST(WeightId, HasANameInEachFormat) {
  const WeightId q{3, Part::kQ}, bias{12, Part::kKBias}, head{-1, Part::kOutput};
  EXPECT_EQ(Name(q), "layers.3.q");
  EXPECT_EQ(GgufName(q), "blk.3.attn_q.weight");
  EXPECT_EQ(HfName(q), "model.layers.3.self_attn.q_proj.weight");
  EXPECT_EQ(Name(bias), "layers.12.k_bias");
  EXPECT_EQ(GgufName(bias), "blk.12.attn_k.bias");
  EXPECT_EQ(HfName(bias), "model.layers.12.self_attn.k_proj.bias");
  EXPECT_EQ(Name(head), "output");
  EXPECT_EQ(GgufName(head), "output.weight");
  EXPECT_EQ(HfModule(head), "lm_head");
  EXPECT_EQ(HfName({-1, Part::kOutputNorm}), "model.norm.weight");
}

TEST(WeightId, IsReadFromItsName) {
  std::set<std::string> gguf, hf;
  for (const PartTraits& traits : AllParts()) {
    EXPECT_EQ(&Traits(traits.part), &traits) << traits.name;  // the table is in the order of the enumeration
    const WeightId id{traits.in_layer ? 17 : -1, traits.part};
    EXPECT_EQ(PartNamed(traits.name), traits.part);
    EXPECT_EQ(ParseGgufName(GgufName(id)), id) << GgufName(id);
    EXPECT_TRUE(gguf.insert(GgufName(id)).second) << GgufName(id);
    EXPECT_TRUE(hf.insert(HfName(id)).second) << HfName(id);
  }
}

TEST(WeightId, IsNotReadFromAnotherName) {
  for (const char* name : {"",
                           "blk",
                           "blk.",
                           "blk.attn_q.weight",
                           "blk.3",
                           "blk.3.",
                           "blk..attn_q.weight",
                           "blk.-1.attn_q.weight",
                           "blk.+1.attn_q.weight",
                           "blk.03.attn_q.weight",
                           "blk.3x.attn_q.weight",
                           "blk.4294967296.attn_q.weight",
                           "blk.3.output.weight",
                           "blk.3.attn_q",
                           "blk.3.attn_q.weight.lora_a",
                           "blk.3.attn_output.bias",
                           "blk.3.ffn_up_exps.weight",
                           "attn_q.weight",
                           "token_embd",
                           "output.bias",
                           "layers.3.q"}) {
    EXPECT_EQ(ParseGgufName(name), std::nullopt) << name;
  }
  for (const char* name : {"", "Q", "attn_q", "layers.3.q"}) EXPECT_EQ(PartNamed(name), std::nullopt) << name;
}

TEST(WeightId, ALayerIsReadFromAnyGgufName) {
  const auto layer = ParseGgufLayer("blk.10.ffn_up_exps.weight");
  ASSERT_TRUE(layer);
  EXPECT_EQ(layer->layer, 10);
  EXPECT_EQ(layer->rest, "ffn_up_exps.weight");
  EXPECT_FALSE(ParseGgufLayer("blk.10"));
  EXPECT_FALSE(ParseGgufLayer("output.weight"));
}

// The table's order is that of ForEachTensor.
TEST(WeightId, EveryTensorHasOne) {
  LlamaConfig c = oracle::SmallConfig();
  c.layers = 1;
  c.attention_bias = true;
  const Weights weights = RandomWeights(c, 1);
  std::vector<WeightId> visited, listed;
  ForEachTensor(weights, false, [&](WeightId id, const Tensor& tensor) {
    visited.push_back(id);
    EXPECT_EQ(tensor.shape(), Traits(id.part).Shape(c)) << Name(id);
  });
  for (const PartTraits& traits : AllParts()) listed.push_back({traits.in_layer ? 0 : -1, traits.part});
  EXPECT_EQ(visited, listed);
}

}  // namespace
}  // namespace longspan
