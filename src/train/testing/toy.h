// What this folder's tests share: a toy model, and a toy task that it can learn.
#pragma once

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "data/testing/byte_encoder.h"
#include "model/testing/small_model.h"
#include "train/network.h"
#include "train/trainer.h"

namespace longspan {

// Toys are too small to share: on a busy machine, threads would wait for one another most of the time.
inline const bool kOneThread = (SetThreads(1), true);

inline LlamaConfig ToyConfig() {
  LlamaConfig c = oracle::SmallConfig();
  c.dim = 32;
  c.hidden_dim = 48;
  return c;
}

inline TrainOptions ToyOptions(AdapterKind adapter) {
  TrainOptions o;
  o.adapter = adapter;
  o.rank = 4;
  o.alpha = 8;
  o.learning_rate = 1e-2;
  o.steps = 8;
  o.batch_size = 2;
  o.seed = 5;
  return o;
}

// Rows of random tokens; every token is scored except the last of its row.
inline Batch RandomBatch(std::int64_t sequences, std::int64_t length, std::int64_t vocab_size) {
  Batch batch(sequences, length);
  batch.tokens = oracle::RandomTokens(batch.size(), vocab_size);
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    batch.positions[at] = static_cast<std::int32_t>(i % length);
    if (i % length + 1 < length) batch.targets[at] = batch.tokens[at + 1];
  }
  return batch;
}

// After token t comes 3 t + 1, modulo the size of the vocabulary: learnable from a few examples.
inline TrainData ToyTask(std::int64_t vocab_size, std::int64_t length = 12) {
  TrainData data;
  data.examples_per_epoch = 1000;
  data.examples = [=](std::int64_t first, std::int64_t count) {
    Batch batch = RandomBatch(count, length, vocab_size);
    for (std::int64_t row = 0; row < count; ++row) {
      Random random(7, static_cast<std::uint64_t>(first + row), RandomPurpose::kTest);
      auto token = static_cast<std::int32_t>(random.Below(vocab_size));
      for (std::int64_t i = 0; i < length; ++i) {
        const auto at = static_cast<std::size_t>(row * length + i);
        batch.tokens[at] = token;
        token = static_cast<std::int32_t>((3 * token + 1) % vocab_size);
        batch.targets[at] = token;
      }
    }
    return batch;
  };
  data.validation = {data.examples(5000, 4)};
  return data;
}

// The loss at each place alone, which tells as much as the logits.
inline std::vector<double> LossByPlace(Network& network, const Batch& batch) {
  std::vector<double> losses;
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    Batch one = batch;
    std::ranges::fill(one.targets, Batch::kIgnore);
    one.targets[i] = batch.tokens[(i + 1) % batch.tokens.size()];
    losses.push_back(network.Forward(one).sum);
  }
  return losses;
}

// B begins at zero, which hides mistakes in everything that A does.
inline void RandomiseB(Network& network) {
  std::uint64_t stream = 900;
  for (Parameter& p : network.parameters()) {
    Random random(3, stream++, RandomPurpose::kTest);
    if (!p.name.ends_with(".b")) continue;
    for (float& x : p.value.mutable_floats()) x = 0.2f * random.Normal();
  }
}

inline std::vector<float> AllValues(Network& network) {
  std::vector<float> values;
  for (const Parameter& p : network.parameters()) {
    values.insert(values.end(), p.value.floats().begin(), p.value.floats().end());
  }
  return values;
}

inline std::vector<float> AllGradients(Network& network) {
  std::vector<float> gradients;
  for (const Parameter& p : network.parameters()) {
    gradients.insert(gradients.end(), p.gradient.span().begin(), p.gradient.span().end());
  }
  return gradients;
}

}  // namespace longspan
