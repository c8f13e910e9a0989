#include "model/weight_id.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
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
    EXPECT_EQ(ParseWeightId(Name(id)), id);
    EXPECT_EQ(WeightNamed(Name(id)), id);
    EXPECT_TRUE(gguf.insert(GgufName(id)).second) << GgufName(id);
    EXPECT_TRUE(hf.insert(HfName(id)).second) << HfName(id);
  }
}

TEST(WeightId, IsNotReadFromAnotherName) {
  for (const char* name : {"", "q", "layers", "layers.", "layers.q", "layers.3", "layers.3.", "layers..q",
                           "layers.-1.q", "layers.+1.q", "layers.03.q", "layers.3x.q", "layers.4294967296.q",
                           "layers.3.output", "layers.3.q.a", "embedding.q", "blk.3.attn_q.weight"}) {
    EXPECT_EQ(ParseWeightId(name), std::nullopt) << name;
    EXPECT_THROW(WeightNamed(name), Error) << name;
  }
}

TEST(WeightId, ALayerIsReadFromAnyGgufName) {
  const auto layer = ParseGgufLayer("blk.10.ffn_up_exps.weight");
  ASSERT_TRUE(layer);
  EXPECT_EQ(layer->layer, 10);
  EXPECT_EQ(layer->rest, "ffn_up_exps.weight");
  EXPECT_FALSE(ParseGgufLayer("blk.10"));
  EXPECT_FALSE(ParseGgufLayer("output.weight"));
}

// The table's order and names are those that ForEachTensor gives.
TEST(WeightId, EveryTensorHasOne) {
  LlamaConfig c = oracle::SmallConfig();
  c.layers = 1;
  c.attention_bias = true;
  const Weights weights = RandomWeights(c, 1);
  std::vector<std::string> visited, listed;
  ForEachTensor(weights, false, [&](const std::string& name, const Tensor& tensor) {
    visited.push_back(name);
    EXPECT_EQ(tensor.shape(), Traits(WeightNamed(name).part).Shape(c)) << name;
  });
  for (const PartTraits& traits : AllParts()) listed.push_back(Name({0, traits.part}));
  EXPECT_EQ(visited, listed);
}

}  // namespace
}  // namespace longspan
