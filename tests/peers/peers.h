// What the tests that compare with llama.cpp share: its libraries, a text, and how far two distributions are
// apart.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "bench/peers/llama_library.h"
#include "formats/llama_gguf.h"
#include "infer/loaded_model.h"
#include "infer/sequence.h"

namespace longspan::peers {

// Each test skips where the package is absent.
class Peers : public testing::Test {
 protected:
  void SetUp() override {
    if (Library() == nullptr) GTEST_SKIP() << "llama.cpp is absent; scripts/test --peers installs it";
  }
  static const LlamaLibrary* Library() {
    static const std::unique_ptr<const LlamaLibrary> library = LlamaLibrary::Find(LONGSPAN_SOURCE_DIR);
    return library.get();
  }
};

// The beginning of "The Voyage of the Beagle" (Darwin 1839), some 250 tokens to the base model.
inline constexpr std::string_view kText =
    "After having been twice driven back by heavy southwestern gales, Her Majesty's ship Beagle, a ten-gun "
    "brig, under "
    "the command of Captain Fitz Roy, R. N., sailed from Devonport on the 27th of December, 1831. The object "
    "of the "
    "expedition was to complete the survey of Patagonia and Tierra del Fuego, commenced under Captain King "
    "in 1826 to "
    "1830, to survey the shores of Chile, Peru, and of some islands in the Pacific, and to carry a chain of "
    "chronometrical measurements round the World. On the 6th of January we reached Teneriffe, but were "
    "prevented "
    "landing, by fears of our bringing the cholera: the next morning we saw the sun rise behind the rugged "
    "outline of "
    "the Grand Canary island, and suddenly illuminate the Peak of Teneriffe, whilst the lower parts were "
    "veiled in "
    "fleecy clouds.";

inline const ModelFile& BaseModel() {
  static const ModelFile base =
      LoadModel(std::filesystem::path(LONGSPAN_SOURCE_DIR) / "models/longspan-base.gguf");
  return base;
}

// The configuration of a model with random weights and the base model's vocabulary. Its rows are whole
// blocks, because llama.cpp needs that.
inline LlamaConfig RandomConfig(Architecture architecture) {
  LlamaConfig c = BaseModel().config;
  c.name = "random";
  c.architecture = architecture;
  c.attention_bias = architecture == Architecture::kQwen2;
  c.rope_scaling = {};
  c.rope_theta = 1e4;
  c.dim = 64;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 16;
  c.hidden_dim = 96;
  c.tied_embeddings = true;
  return c;
}

// logits [tokens, vocab_size] as longspan computes them, without rounding activations.
inline std::vector<float> Logits(const LoadedModel& model, std::span<const std::int32_t> tokens) {
  TransformerSequence sequence(model.transformer());
  const std::int64_t n = std::ssize(tokens), dim = model.config().dim, vocabulary = model.config().vocab_size;
  std::vector<float> hidden(static_cast<std::size_t>(n * dim)),
      logits(static_cast<std::size_t>(n * vocabulary));
  sequence.Forward(tokens, Rows(hidden.data(), n, dim));
  sequence.Logits(ConstRows(hidden.data(), n, dim), Rows(logits.data(), n, vocabulary));
  return logits;
}

// The mean over rows of KL(a || b), nats, of the distributions that logits [rows, vocabulary] mean.
inline double MeanKl(std::span<const float> a, std::span<const float> b, std::int64_t vocabulary) {
  const auto width = static_cast<std::size_t>(vocabulary);
  const auto log_sum = [](std::span<const float> row) {
    const double top = *std::ranges::max_element(row);
    double sum = 0;
    for (const float x : row) sum += std::exp(x - top);
    return top + std::log(sum);
  };
  double total = 0;
  for (std::size_t at = 0; at < a.size(); at += width) {
    const auto row_a = a.subspan(at, width), row_b = b.subspan(at, width);
    const double sum_a = log_sum(row_a), sum_b = log_sum(row_b);
    for (std::size_t i = 0; i < width; ++i) {
      total += std::exp(row_a[i] - sum_a) * ((row_a[i] - sum_a) - (row_b[i] - sum_b));
    }
  }
  const std::size_t rows = a.size() / width;
  return total / static_cast<double>(rows);
}

}  // namespace longspan::peers
