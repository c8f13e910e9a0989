#include "release/testing/small_job.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "base/file.h"
#include "base/parallel.h"
#include "base/random.h"
#include "formats/llama_gguf.h"
#include "model/testing/small_config.h"
#include "text/bpe_trainer.h"
#include "text/gguf_vocabulary.h"

namespace longspan {

namespace fs = std::filesystem;

std::string Story(std::uint64_t number, int sentences) {
  constexpr std::array kWho{"The cat", "A fisherman", "My sister", "The old king", "Nobody"};
  constexpr std::array kDoes{"saw", "remembered", "was looking for", "sold", "found"};
  constexpr std::array kWhat{"the river", "a pass key", "the green grass", "the long text", "the sun"};
  Random random(1, number, RandomPurpose::kTest);
  std::string text;
  for (int i = 0; i < sentences; ++i) {
    const auto pick = [&](const auto& words) { return words[random.Below(5)]; };
    text += fmt::format("{} {} {}. ", pick(kWho), pick(kDoes), pick(kWhat));
  }
  return text;
}

SmallJob::SmallJob() {
  SetThreads(1);
  fs::create_directories(folder_ / "texts");
  std::vector<std::string> texts;
  for (std::uint64_t i = 0; i < 10; ++i) {
    texts.push_back(Story(i, 60));
    WriteFile(folder_ / fmt::format("texts/{}.txt", i), texts.back());
  }
  // The sentences of the passkey test, or its prompts would take more tokens than the window has.
  for (int i = 0; i < 3; ++i) {
    texts.push_back(
        "A pass key is hidden somewhere in the long and dull text below. Find it and keep it in mind, for "
        "you "
        "will be asked for it at the end. The grass is green. The sky is blue. The pass key is. Remember it. "
        "is the pass key. What is the pass key? The pass key is");
  }
  const Vocabulary vocabulary = TrainBpe(texts, {.vocab_size = 480});
  LlamaConfig config = oracle::MinimalConfig(std::ssize(vocabulary.tokens), 32);
  config.name = "tiny";
  config.hidden_dim = 64;
  config.context = 192;
  GgufMetadata metadata;
  WriteVocabulary(vocabulary, metadata);
  SaveModel(folder_ / "tiny.gguf", config, ToFloat(RandomWeights(config, 1), Type::kF16), metadata);
}

Measurements SmallJob::Run(std::string_view learning_rate, std::string_view out, Progress& progress) {
  WriteFile(folder_ / "recipe.yml",
            fmt::format(R"(base:
  model: {}
data:
  inputs: [texts]
  min_tokens: 20
  {}
  validation: 0.2
context:
  target: 384
rope:
  {}
pose:
  unmodified: 0.2
train:
  adapter: rslora
  rank: 4
  learning_rate: {}
  steps: 6
  batch_size: 2
  retrieval_share: 0.5
  checkpoint_every: 2
  eval_every: 3
  eval_examples: 2
quantize:
  types: [{}]
eval:
  contexts: [64, 384]
  stride: 32
  max_tokens: 256
  {}
  passkey:
    lengths: [192, 384]
    depths: 2
    trials: 1
release:
  name: tiny-384
  license: apache-2.0
  out: {}
  {}
  sample:
    prompt: The cat
    tokens: 8
)",
                        model_, data_, rope_, learning_rate, types_, eval_, out, release_));
  return Extend(LoadRecipe(folder_ / "recipe.yml"), options_, progress);
}

std::map<std::string, fs::file_time_type> SmallJob::Times(std::string_view out) const {
  std::map<std::string, fs::file_time_type> times;
  for (const char* suffix : {"", ".work"}) {
    const fs::path root = folder_ / fmt::format("{}{}", out, suffix);
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (entry.is_regular_file())
        times[entry.path().lexically_relative(folder_.path()).string()] = entry.last_write_time();
    }
  }
  return times;
}

}  // namespace longspan
