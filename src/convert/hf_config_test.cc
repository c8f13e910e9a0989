#include "convert/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/temporary_folder.h"
#include "convert/testing/small_folders.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using namespace testing_convert;

// Llama 3.1 8B's config.json, without keys that nobody reads.
constexpr const char* kLlama = R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false,
  "bos_token_id": 128000, "eos_token_id": 128001, "hidden_act": "silu", "hidden_size": 4096,
  "initializer_range": 0.02,
  "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
  "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1,
  "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
  "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 128256})";

class HfConfig : public ::testing::Test {
 protected:
  using Edit = std::function<void(nlohmann::ordered_json&)>;
  LlamaConfig Read(const Edit& edit = [](auto&) {}) {
    nlohmann::ordered_json json = nlohmann::ordered_json::parse(kLlama);
    edit(json);
    WriteFile(folder_ / "config.json", json.dump());
    return ReadHfConfig(folder_.path(), NoProgress());
  }
  std::string Refusal(const Edit& edit) {
    return ErrorOf([&] { Read(edit); });
  }
  TestFolder folder_;
};

TEST_F(HfConfig, ReadsLlama) {
  const LlamaConfig c = Read();
  EXPECT_EQ(c.dim, 4096);
  EXPECT_EQ(c.hidden_dim, 14336);
  EXPECT_EQ(c.layers, 32);
  EXPECT_EQ(c.kv_heads, 8);
  EXPECT_EQ(c.head_dim, 128);
  EXPECT_EQ(c.context, 131072);
  EXPECT_EQ(c.vocab_size, 128256);
  EXPECT_EQ(c.norm_epsilon, 1e-5);
  EXPECT_EQ(c.rope_scaling.kind, RopeScaling::Kind::kLlama3);
  EXPECT_FALSE(c.tied_embeddings);
  EXPECT_FALSE(c.attention_bias);
  EXPECT_EQ(c.name, folder_.path().filename());
}

TEST_F(HfConfig, TakesTransformersDefaults) {
  const auto bare = [](const char* name) {
    return [name](auto& json) {
      for (const char* key :
           {"num_key_value_heads", "rms_norm_eps", "rope_theta", "rope_scaling", "tie_word_embeddings",
            "hidden_act", "attention_bias", "max_position_embeddings"}) {
        json.erase(key);
      }
      json["architectures"] = {name};
    };
  };
  const LlamaConfig llama = Read(bare("LlamaForCausalLM"));
  EXPECT_EQ(llama.kv_heads, 32);
  EXPECT_EQ(llama.norm_epsilon, 1e-6);
  EXPECT_EQ(llama.rope_theta, 10000);
  EXPECT_EQ(llama.context, 2048);
  EXPECT_EQ(Read(bare("MistralForCausalLM")).kv_heads, 8);
  EXPECT_EQ(Read(bare("MistralForCausalLM")).sliding_window, 4096);
  EXPECT_TRUE(Read(bare("Qwen2ForCausalLM")).attention_bias);
  EXPECT_EQ(Read([](auto& j) { j["num_key_value_heads"] = nullptr; }).kv_heads, 32);
  EXPECT_EQ(Read([](auto& j) { j["head_dim"] = nullptr; }).head_dim, 128);
  EXPECT_EQ(Read([](auto& j) { j["head_dim"] = 96; }).head_dim, 96);
}

TEST_F(HfConfig, SlidingWindows) {
  const auto mistral = [](auto window) {
    return [window](auto& json) {
      json["architectures"] = {"MistralForCausalLM"};
      json["sliding_window"] = window;
    };
  };
  EXPECT_EQ(Read(mistral(1024)).sliding_window, 1024);
  EXPECT_EQ(Read(mistral(nullptr)).sliding_window, 0);  // Mistral 7B v0.2 and later
  const auto qwen = [](bool use, int full) {
    return [=](auto& json) {
      json["architectures"] = {"Qwen2ForCausalLM"};
      json["sliding_window"] = 1024;
      json["use_sliding_window"] = use;
      json["max_window_layers"] = full;
    };
  };
  EXPECT_EQ(Read(qwen(false, 0)).sliding_window, 0);
  EXPECT_EQ(Read(qwen(true, 32)).sliding_window, 0);  // every layer is one of the full ones
  EXPECT_EQ(Read(qwen(true, 0)).sliding_window, 1024);
  EXPECT_THAT(Refusal(qwen(true, 28)), HasSubstr("4 of 32 layers"));
  EXPECT_THAT(Refusal([&](auto& json) {
                qwen(true, 0)(json);
                json["layer_types"] = {"full_attention", "sliding_attention"};
              }),
              HasSubstr("1 of 32 layers"));
  EXPECT_EQ(Read([](auto& json) { json["sliding_window"] = 1024; }).sliding_window, 0);  // Llama has none
}

TEST_F(HfConfig, RefusesWhatItCannotSay) {
  EXPECT_THAT(Refusal([](auto& j) { j["architectures"] = {"GemmaForCausalLM"}; }),
              HasSubstr("GemmaForCausalLM"));
  EXPECT_THAT(Refusal([](auto& j) { j.erase("architectures"); }), HasSubstr("architecture is missing"));
  EXPECT_THAT(Refusal([](auto& j) {
                j["quantization_config"] = {{"quant_method", "gptq"}};
              }),
              HasSubstr("quantization_config"));
  EXPECT_THAT(Refusal([](auto& j) { j["mlp_bias"] = true; }), HasSubstr("mlp_bias"));
  EXPECT_THAT(Refusal([](auto& j) { j["hidden_act"] = "gelu"; }), HasSubstr("hidden_act gelu"));
  EXPECT_THAT(Refusal([](auto& j) { j.erase("hidden_size"); }), HasSubstr("hidden_size is missing"));
  EXPECT_THAT(Refusal([](auto& j) { j["hidden_size"] = "big"; }), HasSubstr("hidden_size"));
  EXPECT_THAT(Refusal([](auto& j) { j["num_hidden_layers"] = 1000000000; }), HasSubstr("number of layers"));
  EXPECT_THAT(Refusal([](auto& j) { j["num_attention_heads"] = 0; }), HasSubstr("num_attention_heads"));
  EXPECT_THAT(Refusal([](auto& j) { j["num_key_value_heads"] = 5; }), HasSubstr("KV heads"));
  EXPECT_THAT(Refusal([](auto& j) { j["rms_norm_eps"] = -1; }), HasSubstr("epsilon"));
}

TEST_F(HfConfig, WritesRoundNumbers) {
  LlamaConfig c = Read();
  c.norm_epsilon = 1e-5f;  // as it comes out of GGUF
  WriteHfConfig(folder_.path(), c, {}, Type::kBF16);
  EXPECT_THAT(ReadFile(folder_ / "config.json"), HasSubstr("\"rms_norm_eps\": 1e-05,"));
  EXPECT_EQ(ReadJson(folder_ / "config.json")["torch_dtype"], "bfloat16");
  EXPECT_EQ(ReadHfConfig(folder_.path(), NoProgress()).norm_epsilon, 1e-5);
}

}  // namespace
}  // namespace longspan
