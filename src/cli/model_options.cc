#include "cli/model_options.h"

#include <fmt/format.h>

#include "cli/checks.h"
#include "cli/terminal.h"
#include "kernels/kv_layout.h"
#include "release/recipe/recipe_ranges.h"
#include "text/warnings.h"

namespace longspan {

const std::map<std::string, Activations>& ActivationsByName() {
  static const std::map<std::string, Activations> kNames{{"exact", Activations::kExact},
                                                         {"int8", Activations::kInt8}};
  return kNames;
}

const std::map<std::string, Type>& CacheTypesByName() {
  static const std::map<std::string, Type> kNames{{"f32", Type::kF32},
                                                  {"f16", Type::kF16},
                                                  {"bf16", Type::kBF16},
                                                  {"q8_0", Type::kQ8_0},
                                                  {"q4_0", Type::kQ4_0}};
  return kNames;
}

std::string NameOf(Activations activations) { return activations == Activations::kInt8 ? "int8" : "exact"; }

std::string NameOf(WeightMemory memory) { return memory == WeightMemory::kPacked ? "packed" : "mapped"; }

void AddRopeOptions(CLI::App& command, RopeOverride& rope) {
  constexpr const char* kGroup = "RoPE, instead of the file's";
  command.add_option("--rope-theta", rope.theta, "Base of the rotary angles")
      ->check(Between(recipe_ranges::kTheta.low, recipe_ranges::kTheta.high))
      ->group(kGroup);
  command
      .add_option_function<std::string>(
          "--rope-scaling", [&rope](const std::string& name) { rope.scaling = RopeScalingKind(name); },
          "none, linear, ntk, yarn or llama3")
      ->check(CLI::IsMember({"none", "linear", "ntk", "yarn", "llama3"}))
      ->group(kGroup);
  command.add_option("--rope-factor", rope.factor, "Target window / original window")
      ->check(Between(1, 1e6))
      ->group(kGroup);
  command
      .add_option("--rope-original-context", rope.original_context,
                  "Window before scaling (default: the model's)")
      ->check(kPositive)
      ->group(kGroup);
}

void ModelOptions::AddTo(CLI::App& command) {
  command.add_option("MODEL", path, "GGUF file")->required()->check(CLI::ExistingFile);
  command
      .add_option("--adapter", adapters,
                  "PATH or PATH:FACTOR: run with an adapter (PEFT folder or GGUF), unmerged; several add up")
      ->allow_extra_args(false);
  command.add_option("--isa", isa, "Instruction set: auto, amx, avx512, avx2, reference")
      ->capture_default_str();
  command
      .add_option("--activations", activations,
                  "exact, or int8: rounded to 8 bits where weights are quantised, several times as fast")
      ->transform(CLI::CheckedTransformer(ActivationsByName()))
      ->default_str(NameOf(activations));
  const std::string types =
      "Type of keys and values: f32, f16, bf16, or q8_0 and q4_0, which are rotated before they are rounded ";
  command
      .add_option(
          "--cache-type", cache_type,
          types + (fast_cache ? "(default: q8_0 with --activations int8, f16 with exact or where heads "
                                "have other sizes than 32, 64, 128, ...)"
                              : "(default: f32)"))
      ->transform(CLI::CheckedTransformer(CacheTypesByName(), CLI::ignore_case));
  command.add_flag(
      "--mmap", mmap,
      "Leave the weights in the file. Without it they are copied, with --activations int8 and where "
      "memory allows, in the order in which they are read: writing is faster");
  AddRopeOptions(command, rope);
}

void ModelOptions::AddSparseTo(CLI::App& command) {
  constexpr const char* kGroup = "Sparse prefill, an approximation";
  // A flag with a value after =, so that it never takes MODEL for the threshold.
  const std::string name = fmt::format("--sparse-prefill{{{:g}}}", SparsePrefill::kThreshold);
  const std::string description =
      "Deep in the text, attend only to the blocks of 64 keys that are estimated to hold this share of each "
      "head's attention: faster, not the same";
  CLI::Option* on = command.add_flag(name, description);
  on->check(Between(0.01, 1))->group(kGroup)->each([this](const std::string& threshold) {
    sparse_prefill = CLI::detail::lexical_cast(threshold, sparse.threshold);
  });
  command.add_option("--sparse-from", sparse.from, "Tokens that attend to all before them")
      ->capture_default_str()
      ->check(kNotNegative)
      ->needs(on)
      ->group(kGroup);
  command
      .add_option("--sparse-budget", sparse.budget,
                  "Most keys that a block of 64 queries attends to; 0: no limit")
      ->capture_default_str()
      ->check(kNotNegative)
      ->needs(on)
      ->group(kGroup);
}

std::vector<std::filesystem::path> ModelOptions::Inputs() const {
  std::vector<std::filesystem::path> inputs{path};
  for (const std::string& adapter : adapters) inputs.push_back(AdapterFile::Parse(adapter).path);
  return inputs;
}

std::string SparseText(const ModelOptions& options, const LoadedModel& model) {
  const SparseTally* tally = model.transformer().sparse_tally();
  if (tally == nullptr) return "";
  const SparsePrefill& sparse = options.sparse;
  return fmt::format("sparse prefill {:g} from {}{}, attended to {:.1f}% of the blocks beyond",
                     sparse.threshold, sparse.from,
                     sparse.budget > 0 ? fmt::format(", budget {}", sparse.budget) : "",
                     100 * tally->fraction());
}

nlohmann::ordered_json SparseJson(const ModelOptions& options, const LoadedModel& model) {
  const SparseTally* tally = model.transformer().sparse_tally();
  if (tally == nullptr) return nullptr;
  const SparsePrefill& sparse = options.sparse;
  return {{"threshold", sparse.threshold},
          {"from", sparse.from},
          {"budget", sparse.budget},
          {"chosen", tally->fraction()}};
}

void ReportSparse(const ModelOptions& options, const LoadedModel& model) {
  const std::string text = SparseText(options, model);
  if (!text.empty()) Terminal().Message(text);
}

// docs/performance.md, "Cache types": beside 8-bit activations what an 8-bit cache costs is small.
Type ModelOptions::CacheType(const LlamaConfig& config) const {
  if (cache_type) return *cache_type;
  if (!fast_cache) return Type::kF32;
  const KvLayout small{Type::kQ8_0, config.kv_heads, config.head_dim};
  return activations == Activations::kInt8 && small.Holds() ? small.type : Type::kF16;
}

LoadedModel ModelOptions::Load() const {
  std::vector<AdapterFile> files;
  for (const std::string& adapter : adapters) files.push_back(AdapterFile::Parse(adapter));
  LoadedModel model(path, rope, isa, activations, files, mmap ? WeightMemory::kMapped : WeightMemory::kAuto);
  if (sparse_prefill) model.SetSparsePrefill(sparse);
  WarnAbout(model.tokenizer().vocabulary(), Terminal());
  return model;
}

}  // namespace longspan
