#include "quantize/mix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/error.h"

namespace longspan {
namespace {

// The tensors of a Llama with F16 matrices and F32 norms.
std::vector<TensorInfo> Llama(int layers, std::int64_t dim = 4096, bool tied = false,
                              int queries_per_kv = 1) {
  std::vector<TensorInfo> tensors{{"token_embd.weight", Type::kF16, {32000, dim}}};
  for (int i = 0; i < layers; ++i) {
    const std::string prefix = fmt::format("blk.{}.", i);
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
      const bool of_kv = std::string_view(name) == "attn_k" || std::string_view(name) == "attn_v";
      tensors.push_back({prefix + name + ".weight", Type::kF16, {of_kv ? dim / queries_per_kv : dim, dim}});
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
  for (const TypeChoice& choice : ChooseTypes(FindMix(mix), tensors, overrides))
    table[choice.name] = choice.type;
  return table;
}

std::set<int> LayersWith(const std::map<std::string, Type>& table, std::string_view name, Type type,
                         int layers) {
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

// The types of one part over the layers, runs of the same type together: "Q5_K 2, Q4_K 30".
std::string Runs(const std::map<std::string, Type>& table, std::string_view part, int layers) {
  std::string text;
  for (int first = 0, i = 0; i < layers; first = i) {
    const auto at = [&](int layer) { return table.at(fmt::format("blk.{}.{}.weight", layer, part)); };
    while (i < layers && at(i) == at(first)) ++i;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", Traits(at(first)).name, i - first);
  }
  return text;
}

// What llama-quantize gives 32 layers of four query heads to a KV head.
TEST(Mix, MixesOfSharedHeads) {
  struct Expected {
    std::string_view mix, q, v, o, gate, down, embedding, output;
    bool matrix;
  };
  const std::vector<Expected> mixes{
      {"Q3_K_S", "Q3_K 32", "Q3_K 32", "Q3_K 32", "Q3_K 32", "Q3_K 32", "Q3_K", "Q6_K", false},
      {"Q3_K", "Q3_K 32", "Q5_K 2, Q4_K 30", "Q4_K 32", "Q3_K 32", "Q5_K 2, Q4_K 30", "Q3_K", "Q6_K", false},
      {"Q3_K_L", "Q3_K 32", "Q5_K 32", "Q5_K 32", "Q3_K 32", "Q5_K 32", "Q3_K", "Q6_K", false},
      {"Q2_K", "Q2_K 32", "Q4_K 32", "Q3_K 32", "Q2_K 32", "Q3_K 32", "Q2_K", "Q6_K", false},
      {"Q2_K_S", "Q2_K 32", "Q4_K 32", "Q2_K 32", "Q2_K 32", "Q4_K 4, Q2_K 28", "Q2_K", "Q6_K", true},
      {"IQ1_S", "IQ1_S 32", "Q4_K 32", "IQ2_XXS 32", "IQ1_S 32", "Q2_K 4, IQ1_S 28", "Q2_K", "Q5_K", true},
      {"IQ2_XS", "IQ2_XS 32", "Q4_K 32", "IQ2_XS 32", "IQ2_XS 32", "Q2_K 4, IQ2_XS 28", "Q2_K", "Q5_K", true},
      {"IQ2_S", "IQ2_XS 32", "Q4_K 32", "IQ3_S 32", "IQ2_XS 32", "IQ3_S 4, IQ2_XS 28", "IQ3_S", "Q5_K", true},
      {"IQ2_M", "IQ2_S 32", "Q4_K 32", "IQ3_S 32", "IQ2_S 32", "IQ3_S 4, IQ2_S 28", "IQ3_S", "Q5_K", true},
      {"IQ3_XXS", "IQ2_S 32", "Q4_K 32", "IQ3_S 32", "IQ3_XXS 32", "IQ3_XXS 32", "IQ3_S", "Q5_K", true},
      {"IQ3_XXS", "IQ2_S 32", "Q4_K 32", "IQ3_S 32", "IQ3_XXS 32", "Q4_K 4, Q3_K 28", "IQ3_S", "Q5_K", false},
      {"IQ3_XS", "IQ3_XXS 32", "Q4_K 32", "IQ3_S 32", "IQ3_S 4, IQ3_XXS 24, IQ3_S 4", "IQ3_S 32", "IQ3_S",
       "Q6_K", false},
      {"IQ3_M", "IQ3_S 32", "Q4_K 32", "Q4_K 32", "IQ3_S 32", "Q4_K 4, IQ3_S 28", "IQ3_S", "Q6_K", false},
      {"IQ4_XS", "IQ4_XS 32", "Q5_K 32", "IQ4_XS 32", "IQ4_XS 32", "IQ4_XS 32", "IQ4_XS", "Q6_K", true},
      {"IQ4_NL", "IQ4_NL 32", "Q5_K 32", "IQ4_NL 32", "IQ4_NL 32", "Q5_K 4, IQ4_NL 28", "IQ4_NL", "Q6_K",
       false},
      {"Q4_0", "Q4_0 32", "Q4_0 32", "Q4_0 32", "Q4_0 32", "Q4_1 4, Q4_0 28", "Q4_0", "Q6_K", true},
      {"Q5_0", "Q5_0 32", "Q5_0 32", "Q5_0 32", "Q5_0 32", "Q5_0 32", "Q5_0", "Q6_K", false},
      {"TQ1_0", "TQ1_0 32", "TQ1_0 32", "TQ1_0 32", "TQ1_0 32", "TQ1_0 32", "Q4_K", "Q6_K", false},
      {"MXFP4", "MXFP4 32", "MXFP4 32", "MXFP4 32", "MXFP4 32", "MXFP4 32", "Q8_0", "Q8_0", false},
  };
  for (const Expected& e : mixes) {
    MixOverrides overrides;
    overrides.has_matrix = e.matrix;
    const auto table = Table(e.mix, Llama(32, 4096, false, 4), overrides);
    EXPECT_EQ(Runs(table, "attn_q", 32), e.q) << e.mix;
    EXPECT_EQ(Runs(table, "attn_v", 32), e.v) << e.mix;
    EXPECT_EQ(Runs(table, "attn_output", 32), e.o) << e.mix;
    EXPECT_EQ(Runs(table, "ffn_gate", 32), e.gate) << e.mix;
    EXPECT_EQ(Runs(table, "ffn_down", 32), e.down) << e.mix;
    EXPECT_EQ(Traits(table.at("token_embd.weight")).name, e.embedding) << e.mix;
    EXPECT_EQ(Traits(table.at("output.weight")).name, e.output) << e.mix;
  }
}

TEST(Mix, ValuesOfUnsharedHeadsAndOf70B) {
  EXPECT_EQ(Runs(Table("Q2_K", Llama(8)), "attn_v", 8), "Q3_K 8");
  EXPECT_EQ(Runs(Table("IQ2_XXS", Llama(8)), "attn_v", 8), "Q2_K 8");
  EXPECT_EQ(Runs(Table("IQ4_XS", Llama(8)), "attn_v", 8), "IQ4_XS 8");
  EXPECT_EQ(Runs(Table("Q3_K_S", Llama(80, 4096, false, 8)), "attn_v", 80), "Q5_K 80");
  EXPECT_EQ(Runs(Table("IQ2_M", Llama(80, 4096, false, 8)), "attn_v", 80), "Q4_K 80");
  EXPECT_EQ(Runs(Table("Q3_K_S", Llama(80)), "attn_v", 80), "Q3_K 80");
}

TEST(Mix, WhatNeedsAnImportanceMatrix) {
  const auto needs = [](std::string_view name) {
    std::set<std::string> parts;
    for (const TypeChoice& choice : ChooseTypes(FindMix(name), Llama(1, 4096, false, 4))) {
      if (NeedsImportance(FindMix(name), choice)) parts.insert(choice.name.substr(6));
    }
    return parts;
  };
  for (const char* name : {"Q2_K", "Q3_K_S", "IQ3_S", "IQ4_XS", "TQ1_0", "Q4_0"}) {
    EXPECT_THAT(needs(name), testing::IsEmpty()) << name;
  }
  const auto all_but_v = testing::UnorderedElementsAre("attn_q.weight", "attn_k.weight", "attn_output.weight",
                                                       "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight");
  EXPECT_THAT(needs("Q2_K_S"), all_but_v);
  EXPECT_THAT(needs("IQ1_S"), all_but_v);
  EXPECT_THAT(needs("IQ3_XXS"), testing::UnorderedElementsAre("attn_q.weight", "attn_k.weight",
                                                              "ffn_gate.weight", "ffn_up.weight"));
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
  EXPECT_EQ(FallBack(Type::kIQ2_XXS, 288), Type::kIQ4_NL);
  EXPECT_EQ(FallBack(Type::kQ3_K, 288), Type::kQ4_0);
  EXPECT_EQ(FallBack(Type::kMXFP4, 100), Type::kF16);
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
  EXPECT_EQ(FindMix("Q3_K").file_type, 12u);
  EXPECT_EQ(FindMix("IQ2_S").base, Type::kIQ2_XS);  // a name of both a mix and a type
  EXPECT_EQ(FindMix("MXFP4_MOE").file_type, 38u);
  std::set<std::uint32_t> file_types;
  for (const Mix& mix : AllMixes()) EXPECT_TRUE(file_types.insert(mix.file_type).second) << mix.name;
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
