// Options that several commands which run a model share.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "formats/rope_override.h"
#include "infer/loaded_model.h"

namespace longspan {

// The --rope-* overrides, into `rope`.
void AddRopeOptions(CLI::App& command, RopeOverride& rope);

struct ModelOptions {
  std::string path;
  std::string isa = "auto";
  Activations activations = Activations::kExact;  // what a command sets before AddTo is its default
  RopeOverride rope;

  // MODEL, --isa, --activations and the --rope-* overrides.
  void AddTo(CLI::App& command);
  LoadedModel Load() const { return LoadedModel(path, rope, isa, activations); }
};

}  // namespace longspan
