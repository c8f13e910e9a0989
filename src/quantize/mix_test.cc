#include "quantize/mix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/error.h"

namespace longspan {
namespace {

// The tensors of a Llama with F16 matrices and F32 norms.
std::vector<TensorInfo> Llama(int layers, std::int64_t dim = 4096, bool tied = false) {
  std::vector<TensorInfo> tensors{{"token_embd.weight", Type::kF16, {32000, dim}}};
  for (int i = 0; i < layers; ++i) {
    const std::string prefix = fmt::format("blk.{}.", i);
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
      tensors.push_back({prefix + name + ".weight", Type::kF16, {dim, dim}});
    }
    tensors.push_back({prefix + "attn_norm.weight", Type::kF32, {dim}});
    tensors.push_back({prefix + "ffn_norm.weight", Type::kF32, {dim}});
  }
  tensors.push_back({"output_norm.weight", Type::kF32, {dim}});
  tensors.push_back({"rope_freqs.weight", Type::kF32, {64}});
  if (!tied) tensors.push_back({"output.weight", Type::kF16, {32000, dim}});
  return tensors;
}

std::map<std::string, Type> Table(std::string_view mix, const std::vector<TensorInfo>& tensors,
                                  const MixOverrides& overrides = {}) {
  std::map<std::string, Type> table;
  for (const TypeChoice& choice : ChooseTypes(FindMix(mix), tensors, overrides)) table[choice.name] = choice.type;
  return table;
}

std::set<int> LayersWith(const std::map<std::string, Type>& table, std::string_view name, Type type, int layers) {
  std::set<int> with;
  for (int i = 0; i < layers; ++i) {
    if (table.at(fmt::format("blk.{}.{}.weight", i, name)) == type) with.insert(i);
  }
  return with;
}

TEST(Mix, MediumMixesOf32Layers) {
  // The first four, every third from the seventh, the last four.
  const std::set<int> more{0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31};
  for (const auto& [mix, base] : {std::pair{"Q4_K_M", Type::kQ4_K}, std::pair{"Q5_K_M", Type::kQ5_K}}) {
    const auto table = Table(mix, Llama(32));
    EXPECT_EQ(LayersWith(table, "attn_v", Type::kQ6_K, 32), more) << mix;
    EXPECT_EQ(LayersWith(table, "ffn_down", Type::kQ6_K, 32), more) << mix;
    EXPECT_EQ(LayersWith(table, "attn_v", base, 32).size(), 32 - more.size()) << mix;
    for (const char* name : {"attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"}) {
      EXPECT_EQ(LayersWith(table, name, base, 32).size(), 32u) << mix << " " << name;
    }
    EXPECT_EQ(table.at("output.weight"), Type::kQ6_K);
    EXPECT_EQ(table.at("token_embd.weight"), base);
    EXPECT_EQ(table.at("output_norm.weight"), Type::kF32);
    EXPECT_EQ(table.at("blk.5.attn_norm.weight"), Type::kF32);
    EXPECT_EQ(table.at("rope_freqs.weight"), Type::kF32);
  }
}

TEST(Mix, SmallMixes) {
  const auto q4 = Table("Q4_K_S", Llama(32));
  EXPECT_EQ(LayersWith(q4, "attn_v", Type::kQ5_K, 32), (std::set<int>{0, 1, 2, 3}));
  EXPECT_EQ(LayersWith(q4, "ffn_down", Type::kQ5_K, 32), (std::set<int>{0, 1, 2, 3}));
  EXPECT_EQ(LayersWith(q4, "ffn_up", Type::kQ4_K, 32).size(), 32u);
  const auto q5 = Table("Q5_K_S", Llama(32));
  EXPECT_EQ(LayersWith(q5, "attn_v", Type::kQ5_K, 32).size(), 32u);
}

TEST(Mix, OutputAndTiedEmbedding) {
  EXPECT_EQ(Table("Q8_0", Llama(2)).at("output.weight"), Type::kQ8_0);
  EXPECT_EQ(Table("Q4_0", Llama(2)).at("output.weight"), Type::kQ6_K);
  EXPECT_EQ(Table("Q4_0", Llama(2)).at("token_embd.weight"), Type::kQ4_0);
  EXPECT_EQ(Table("Q4_K_M", Llama(2, 4096, true)).at("token_embd.weight"), Type::kQ6_K);
  EXPECT_EQ(Table("F16", Llama(2, 4096, true)).at("token_embd.weight"), Type::kF16);
  EXPECT_EQ(Table("BF16", Llama(2)).at("output.weight"), Type::kBF16);
}

TEST(Mix, RowsThatDoNotDivideFallBack) {
  EXPECT_EQ(FallBack(Type::kQ4_K, 288), Type::kQ5_0);
  EXPECT_EQ(FallBack(Type::kQ5_K, 288), Type::kQ5_1);
  EXPECT_EQ(FallBack(Type::kQ6_K, 288), Type::kQ8_0);
  EXPECT_EQ(FallBack(Type::kQ4_K, 100), Type::kF16);
  EXPECT_EQ(FallBack(Type::kQ8_0, 100), Type::kF16);
  EXPECT_EQ(FallBack(Type::kQ4_K, 512), Type::kQ4_K);

  const auto choices = ChooseTypes(FindMix("Q4_K_M"), Llama(8, 288));
  EXPECT_THAT(DescribeFallBacks(choices),
              testing::UnorderedElementsAre(testing::HasSubstr("Q5_0 instead of Q4_K"),
                                            testing::HasSubstr("Q8_0 instead of Q6_K for 9 tensors")));
  EXPECT_THAT(DescribeFallBacks(ChooseTypes(FindMix("Q4_K_M"), Llama(8))), testing::IsEmpty());
}

TEST(Mix, OverridesWin) {
  MixOverrides overrides;
  overrides.rules.push_back({NamePattern("attn_v"), Type::kQ8_0});
  overrides.rules.push_back({NamePattern("blk\\.0\\."), Type::kBF16});
  overrides.output_type = Type::kQ5_K;
  overrides.embedding_type = Type::kF16;
  const auto table = Table("Q4_K_M", Llama(4), overrides);
  EXPECT_EQ(table.at("blk.0.attn_v.weight"), Type::kQ8_0);  // the first rule that matches
  EXPECT_EQ(table.at("blk.0.attn_q.weight"), Type::kBF16);
  EXPECT_EQ(table.at("output.weight"), Type::kQ5_K);
  EXPECT_EQ(table.at("token_embd.weight"), Type::kF16);
  overrides.embedding_type.reset();
  EXPECT_EQ(Table("Q4_K_M", Llama(4, 4096, true), overrides).at("token_embd.weight"), Type::kQ5_K);
  EXPECT_THROW(NamePattern("attn_("), Error);
}

TEST(Mix, StrangeNamesAreNoLayers) {
  const std::vector<TensorInfo> tensors{{"blk..attn_v.weight", Type::kF16, {256, 256}},
                                        {"blk.99999999999999999999.attn_v.weight", Type::kF16, {256, 256}},
                                        {"blk.-1.attn_v.weight", Type::kF16, {256, 256}},
                                        {"blk.3", Type::kF16, {256, 256}},
                                        {"ids.weight", Type::kI32, {256, 256}}};
  const auto table = Table("Q4_K_M", tensors);
  EXPECT_EQ(table.at("blk..attn_v.weight"), Type::kQ4_K);
  EXPECT_EQ(table.at("blk.-1.attn_v.weight"), Type::kQ4_K);
  EXPECT_EQ(table.at("blk.3"), Type::kF32);
  EXPECT_EQ(table.at("ids.weight"), Type::kI32);
}

TEST(Mix, NamesAndFileTypes) {
  EXPECT_EQ(FindMix("q4_k_m").file_type, 15u);
  EXPECT_EQ(FindMix("BF16").file_type, 32u);
  try {
    FindMix("Q4_K_XL");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadOption);
    EXPECT_THAT(error.what(), testing::HasSubstr("Q4_K_M"));
  }
}

}  // namespace
}  // namespace longspan
