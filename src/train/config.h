// What `longspan train` reads: a model, shards, positions, and how to train.
#pragma once

#include <filesystem>
#include <optional>

#include "data/examples.h"
#include "formats/rope_override.h"
#include "model/config.h"
#include "train/options.h"

namespace longspan {

struct TrainConfig {
  std::filesystem::path file;
  std::filesystem::path base;        // the model to go on from, or empty: a new one
  LlamaConfig new_model;             // its measures; the vocabulary's size is filled in later
  bool induction = false;            // whether it begins with InductionWeights
  std::filesystem::path vocabulary;  // GGUF file with the new model's tokenizer
  std::string type;  // what a fully trained model is written as; empty: the base's type, or F16
  RopeOverride rope;
  std::filesystem::path shards;  // folder that `prepare` wrote
  ExampleOptions examples;
  TrainOptions train;
  std::filesystem::path out;  // folder for checkpoint, log and result
};

// Paths are relative to the file. Error(kInvalidFile) with file, line and key.
TrainConfig LoadTrainConfig(const std::filesystem::path& path);

// The keys of a `pose` section that configurations and recipes share; the target window is the caller's.
PoseOptions ReadPoseOptions(YamlSection& section);

}  // namespace longspan
