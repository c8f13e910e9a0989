#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "base/error.h"

namespace longspan {
namespace {

LlamaConfig Llama3_8B() {
  LlamaConfig c;
  c.vocab_size = 128256;
  c.dim = 4096;
  c.layers = 32;
  c.heads = 32;
  c.kv_heads = 8;
  c.head_dim = 128;
  c.hidden_dim = 14336;
  c.context = 8192;
  c.rope_theta = 500000;
  return c;
}

TEST(ConfigTest, CountsParameters) {
  LlamaConfig c = Llama3_8B();
  EXPECT_EQ(c.Parameters(), 8030261248);  // what the published model has
  c.tied_embeddings = true;
  EXPECT_EQ(c.Parameters(), 8030261248 - 128256 * 4096);
  EXPECT_EQ(c.q_dim(), 4096);
  EXPECT_EQ(c.kv_dim(), 1024);
}

TEST(ConfigTest, CountsBiases) {
  LlamaConfig c = Llama3_8B();
  c.attention_bias = true;
  EXPECT_EQ(c.Parameters(), 8030261248 + 32 * (4096 + 2 * 1024));
}

TEST(ConfigTest, AcceptsRealModels) {
  EXPECT_NO_THROW(Llama3_8B().Validate("here"));
  LlamaConfig multi_head = Llama3_8B();
  multi_head.kv_heads = 32;
  EXPECT_NO_THROW(multi_head.Validate("here"));
  LlamaConfig wide_heads = Llama3_8B();  // head_dim is not always dim / heads
  wide_heads.head_dim = 256;
  EXPECT_NO_THROW(wide_heads.Validate("here"));
}

TEST(ConfigTest, RefusesWhatCannotBe) {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  struct Case {
    const char* says;  // part of the message
    std::function<void(LlamaConfig&)> spoil;
  };
  const std::vector<Case> cases = {
      {"vocabulary size is 0", [](LlamaConfig& c) { c.vocab_size = 0; }},
      {"width is -1", [](LlamaConfig& c) { c.dim = -1; }},
      {"width", [](LlamaConfig& c) { c.dim = std::int64_t{1} << 40; }},
      {"number of layers", [](LlamaConfig& c) { c.layers = std::numeric_limits<std::int64_t>::max(); }},
      {"number of heads", [](LlamaConfig& c) { c.heads = 0; }},
      {"sliding window is -1", [](LlamaConfig& c) { c.sliding_window = -1; }},
      {"number of KV heads", [](LlamaConfig& c) { c.kv_heads = 0; }},
      {"number of KV heads is 64", [](LlamaConfig& c) { c.kv_heads = 64; }},
      {"32 heads cannot share 5 KV heads", [](LlamaConfig& c) { c.kv_heads = 5; }},
      {"head dimension 7 is odd", [](LlamaConfig& c) { c.head_dim = 7; }},
      {"head dimension is 0", [](LlamaConfig& c) { c.head_dim = 0; }},
      {"feed-forward width", [](LlamaConfig& c) { c.hidden_dim = std::int64_t{1} << 62; }},
      {"context length", [](LlamaConfig& c) { c.context = 0; }},
      {"norm epsilon", [](LlamaConfig& c) { c.norm_epsilon = -1; }},
      {"norm epsilon", [=](LlamaConfig& c) { c.norm_epsilon = nan; }},
      {"rope theta", [](LlamaConfig& c) { c.rope_theta = 0; }},
      {"rope theta", [=](LlamaConfig& c) { c.rope_theta = nan; }},
      {"rope theta", [=](LlamaConfig& c) { c.rope_theta = infinity; }},
      {"rope scaling factor", [](LlamaConfig& c) { c.rope_scaling.factor = 0; }},
      {"rope scaling factor", [=](LlamaConfig& c) { c.rope_scaling.factor = infinity; }},
      {"original context", [](LlamaConfig& c) { c.rope_scaling.original_context = -1; }},
      {"attention factor", [=](LlamaConfig& c) { c.rope_scaling.attention_factor = infinity; }},
      {"beta", [=](LlamaConfig& c) { c.rope_scaling.beta_fast = nan; }},
      {"beta", [](LlamaConfig& c) { c.rope_scaling.beta_slow = 0; }},
      {"frequency factor", [](LlamaConfig& c) { c.rope_scaling.high_frequency_factor = 1; }},
      {"frequency factor", [=](LlamaConfig& c) { c.rope_scaling.low_frequency_factor = nan; }},
  };
  for (const Case& test : cases) {
    LlamaConfig c = Llama3_8B();
    test.spoil(c);
    try {
      c.Validate("a/model.gguf");
      ADD_FAILURE() << test.says << ": accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInvalidFile);
      EXPECT_THAT(e.what(), testing::StartsWith("a/model.gguf: "));
      EXPECT_THAT(e.what(), testing::HasSubstr(test.says));
    }
  }
}

TEST(ConfigTest, NamesOfRopeScaling) {
  for (const auto kind : {RopeScaling::Kind::kNone, RopeScaling::Kind::kLinear, RopeScaling::Kind::kNtk,
                          RopeScaling::Kind::kYarn, RopeScaling::Kind::kLlama3}) {
    EXPECT_EQ(RopeScalingKind(Name(kind)), kind);
  }
  try {
    RopeScalingKind("longrope");
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadOption);
    EXPECT_THAT(e.what(), testing::HasSubstr("longrope"));
  }
}

}  // namespace
}  // namespace longspan
