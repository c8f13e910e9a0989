#include "convert/hf_rope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <tuple>

#include "base/testing/expect_error.h"
#include "formats/llama3_rope.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using Kind = RopeScaling::Kind;

LlamaConfig Llama31() {
  LlamaConfig c;
  c.head_dim = 128;
  c.context = 131072;
  c.rope_theta = 500000;
  return c;
}

LlamaConfig Read(const char* text, Progress& progress = NoProgress()) {
  LlamaConfig c = Llama31();
  ReadHfRope(JsonObject("config.json", nlohmann::json::parse(text)), c, progress);
  return c;
}

std::string Refusal(const char* text) {
  return ErrorOf([&] { Read(text); });
}

constexpr const char* kLlama31 =
    R"({"rope_theta": 500000.0, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"}})";

TEST(HfRope, ReadsEveryKind) {
  EXPECT_EQ(Read(R"({})").rope_theta, 10000);
  EXPECT_EQ(Read(R"({"rope_scaling": null, "rope_theta": 1e6})").rope_theta, 1e6);
  EXPECT_EQ(Read(R"({"rope_scaling": {"rope_type": "default"}})").rope_scaling, RopeScaling());

  const RopeScaling linear = Read(R"({"rope_scaling": {"type": "linear", "factor": 4}})").rope_scaling;
  EXPECT_EQ(linear.kind, Kind::kLinear);
  EXPECT_EQ(linear.factor, 4.0);

  const RopeScaling llama3 = Read(kLlama31).rope_scaling;
  EXPECT_EQ(llama3.kind, Kind::kLlama3);
  EXPECT_EQ(llama3.original_context, 8192);
  EXPECT_EQ(llama3.high_frequency_factor, 4.0);

  const RopeScaling yarn = Read(R"({"rope_scaling": {"type": "yarn", "factor": 4, "beta_fast": 30,
      "original_max_position_embeddings": 32768, "attention_factor": 1.5}})")
                               .rope_scaling;
  EXPECT_EQ(yarn.kind, Kind::kYarn);
  EXPECT_EQ(yarn.original_context, 32768);
  EXPECT_EQ(yarn.beta_fast, 30);
  EXPECT_EQ(yarn.attention_factor, 1.5);
  // As transformers does, the window stands in for a missing original.
  EXPECT_EQ(Read(R"({"rope_scaling": {"type": "yarn", "factor": 4}})").rope_scaling.original_context, 131072);
}

TEST(HfRope, ReadsTheKeysOfTransformers5) {
  const LlamaConfig c =
      Read(R"({"rope_parameters": {"rope_type": "linear", "factor": 2, "rope_theta": 1e6}})");
  EXPECT_EQ(c.rope_theta, 1e6);
  EXPECT_EQ(c.rope_scaling.kind, Kind::kLinear);
  EXPECT_THAT(Refusal(R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})"),
              HasSubstr("layers"));
}

TEST(HfRope, DynamicIsLeftOutWithAMessage) {
  struct Listener : Progress {
    std::string heard;
    void Message(std::string_view line) override { heard = line; }
  } listener;
  EXPECT_EQ(Read(R"({"rope_scaling": {"type": "dynamic", "factor": 2}})", listener).rope_scaling,
            RopeScaling());
  EXPECT_THAT(listener.heard, HasSubstr("131072"));
}

TEST(HfRope, RefusesWhatGgufCannotSay) {
  EXPECT_THAT(Refusal(R"({"rope_scaling": {"type": "longrope", "factor": 4}})"), HasSubstr("longrope"));
  EXPECT_THAT(Refusal(R"({"rope_scaling": {"type": "linear"}})"), HasSubstr("factor is missing"));
  EXPECT_THAT(Refusal(R"({"rope_scaling": {"type": "yarn", "factor": 4, "truncate": false}})"),
              HasSubstr("truncate"));
  EXPECT_THAT(Refusal(R"({"rope_scaling": 3})"), HasSubstr("rope_scaling is 3"));
  EXPECT_THAT(Refusal(R"({"partial_rotary_factor": 0.5})"), HasSubstr("partial_rotary_factor"));
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const std::string inside = fmt::format(
        R"({{"{}": {{"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}}})", key);
    EXPECT_THAT(Refusal(inside.c_str()), HasSubstr(std::string(key) + ": partial_rotary_factor is 0.5"));
  }
  EXPECT_EQ(Refusal(R"({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 1.0}})"), "");
  EXPECT_THAT(Refusal(R"({"rope_scaling": {"type": "default", "mrope_section": [16, 24, 24]}})"),
              HasSubstr("mrope_section"));
}

TEST(HfRope, WritesWhatItReads) {
  for (const char* text :
       {R"({"rope_theta": 1e6})", R"({"rope_scaling": {"type": "linear", "factor": 4}})", kLlama31,
        R"({"rope_scaling": {"type": "yarn", "factor": 4, "beta_slow": 2, "attention_factor": 1.25,
                               "original_max_position_embeddings": 8192}})"}) {
    const LlamaConfig c = Read(text);
    nlohmann::ordered_json json;
    WriteHfRope(c, json);
    const LlamaConfig again = Read(json.dump().c_str());
    EXPECT_EQ(again.rope_theta, c.rope_theta) << text;
    EXPECT_EQ(again.rope_scaling, c.rope_scaling) << text;
  }
}

// Llama 3.1 8B's divisors, as its published GGUF files have them: wavelengths below 2,048 stay, those above
// 8,192 are eight times longer, and the dimensions between are on the slope.
TEST(HfRope, FactorsOfLlama31) {
  const Tensor factors = Llama3RopeFactors(Read(kLlama31));
  const std::span<const float> f = factors.floats();
  ASSERT_EQ(f.size(), 64u);
  const std::array<float, 6> slope{1.207484f, 1.553415f, 2.026313f,
                                   2.694530f, 3.684253f, 5.257327f};  // by Llama's reference code
  for (std::size_t j = 0; j < f.size(); ++j) {
    const float expected = j < 29 ? 1.0f : j < 35 ? slope[j - 29] : 8.0f;
    EXPECT_NEAR(f[j], expected, 1e-5f * expected) << j;
  }
}

TEST(HfRope, ScalingComesBackFromItsFactors) {
  for (const auto& [factor, low, high, head_dim] :
       {std::tuple{8.0, 1.0, 4.0, 128}, std::tuple{32.0, 1.0, 4.0, 64}, std::tuple{16.0, 2.0, 8.0, 128}}) {
    LlamaConfig c = Llama31();
    c.head_dim = head_dim;
    c.rope_scaling = {Kind::kLlama3, factor, 8192};
    c.rope_scaling.low_frequency_factor = low;
    c.rope_scaling.high_frequency_factor = high;
    const Tensor factors = Llama3RopeFactors(c);
    LlamaConfig as_read = c;
    as_read.rope_scaling = {};  // GGUF does not say it
    EXPECT_EQ(Llama3ScalingOf(factors, as_read, "f"), c.rope_scaling) << factor;
  }
}

TEST(HfRope, RefusesFactorsOfAnotherKind) {
  LlamaConfig c = Llama31();
  Tensor factors = Tensor::Allocate(Type::kF32, {64});
  for (float& f : factors.mutable_floats()) f = 1.0f;
  EXPECT_EQ(Llama3ScalingOf(factors, c, "f"), RopeScaling());  // divides by one
  factors.mutable_floats()[3] = 2.0f;
  EXPECT_THROW(Llama3ScalingOf(factors, c, "f"), Error);
  factors.mutable_floats()[3] = std::nanf("");
  EXPECT_THROW(Llama3ScalingOf(factors, c, "f"), Error);
}

}  // namespace
}  // namespace longspan
