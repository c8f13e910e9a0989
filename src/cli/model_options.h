// Options shared by the commands that run a model.
#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
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
  std::optional<Type> cache_type;     // of keys and values; unset: CacheType chooses
  bool fast_cache = false;            // what it chooses: F32, or what costs little beside rounded activations
  std::vector<std::string> adapters;  // as AdapterFile::Parse reads them
  bool mmap = false;
  RopeOverride rope;
  bool sparse_prefill = false;
  SparsePrefill sparse;  // where sparse_prefill is set

  // MODEL, --adapter, --isa, --activations, --cache-type, --mmap and the --rope-* overrides.
  void AddTo(CLI::App& command);
  // --sparse-prefill, --sparse-from, --sparse-budget, for the commands that read long texts.
  void AddSparseTo(CLI::App& command);
  LoadedModel Load() const;
  // Of this model's keys and values.
  Type CacheType(const LlamaConfig& config) const;
  // The files and folders that Load reads.
  std::vector<std::filesystem::path> Inputs() const;
};

// How a model ran with sparse prefill, such as "sparse prefill 0.95 from 16384, attended to 31.2% of the
// blocks beyond"; nothing where it did not.
std::string SparseText(const ModelOptions& options, const LoadedModel& model);
// The same for a program: null where attention was dense.
nlohmann::ordered_json SparseJson(const ModelOptions& options, const LoadedModel& model);
// The same as a message, if there is anything to say.
void ReportSparse(const ModelOptions& options, const LoadedModel& model);

}  // namespace longspan
