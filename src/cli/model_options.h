// Options shared by the commands that run a model.
#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "formats/rope_override.h"
#include "infer/loaded_model.h"

namespace longspan {

// The values of --activations and --cache-type by name.
const std::map<std::string, Activations>& ActivationsByName();
const std::map<std::string, Type>& CacheTypesByName();
std::string NameOf(Activations activations);
std::string NameOf(WeightMemory memory);  // "packed", "mapped"

// The --rope-* overrides, into `rope`.
void AddRopeOptions(CLI::App& command, RopeOverride& rope);

struct ModelOptions {
  std::string path;
  std::string isa = "auto";
  // What a command sets before AddTo is its default. Measuring is exact, running is fast.
  Activations activations = Activations::kExact;
  Type cache_type = Type::kF32;       // of keys and values
  std::vector<std::string> adapters;  // as AdapterFile::Parse reads them
  bool mmap = false;
  RopeOverride rope;

  // MODEL, --adapter, --isa, --activations, --cache-type, --mmap and the --rope-* overrides.
  void AddTo(CLI::App& command);
  LoadedModel Load() const;
  // The files and folders that Load reads.
  std::vector<std::filesystem::path> Inputs() const;
};

}  // namespace longspan
