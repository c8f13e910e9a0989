// longspan train: full training, LoRA and rsLoRA, with or without PoSE.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/machine.h"
#include "base/naming_file.h"
#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/outputs.h"
#include "cli/terminal.h"
#include "formats/llama_gguf.h"
#include "formats/peft.h"
#include "formats/rope_override.h"
#include "model/induction.h"
#include "release/recipe/recipe_check.h"
#include "release/recipe/recipe_rules.h"
#include "release/recipe/recipe_text.h"
#include "runs/event_log.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"
#include "train/run_folder.h"
#include "train/train_data.h"

namespace longspan {
namespace {

struct Start {
  LlamaConfig config;
  Weights weights;
  GgufMetadata metadata;  // of the source: its tokenizer
};

RopeOverride RopeOf(const Recipe& r, const LlamaConfig& config) {
  RopeOverride rope;
  rope.theta = r.rope.theta;
  if (r.rope.scaling == RopeScaling::Kind::kNone) return rope;
  rope.scaling = r.rope.scaling;
  rope.original_context = r.rope.original_context > 0 ? r.rope.original_context : config.context;
  rope.factor = r.rope.factor.value_or(static_cast<double>(r.context.target) /
                                       static_cast<double>(rope.original_context));
  if (rope.factor < 1) {
    r.places.FailAt("rope.scaling",
                    fmt::format("the target, {}, is less than the window, {}; write scaling: none",
                                r.context.target, rope.original_context));
  }
  return rope;
}

Start LoadStart(const Recipe& r) {
  Start start;
  if (!r.new_model) {
    ModelFile file = LoadModel(r.base);
    start = {file.config, file.weights, file.file->metadata()};
  } else {
    start.metadata = GgufFile::Open(r.new_model->vocabulary)->metadata();
    start.config = r.new_model->config;
    start.config.vocab_size = static_cast<std::int64_t>(ReadVocabulary(start.metadata).tokens.size());
    start.config.Validate(r.file.string());
    const bool induction = r.new_model->start == NewModelRecipe::Start::kInduction;
    start.weights = (induction ? InductionWeights : RandomWeights)(start.config, r.train.seed);
  }
  Apply(RopeOf(r, start.config), start.config, start.weights);
  return start;
}

ExampleOptions ExamplesOf(const Recipe& r, std::int64_t window) {
  ExampleOptions examples;
  examples.length = r.context.window > 0 ? r.context.window : window;
  examples.pack = r.train.pack;
  examples.retrieval_share = r.train.retrieval_share;
  examples.echo_share = r.train.echo_share;
  examples.seed = r.train.seed;
  if (r.pose.enabled) examples.pose = r.pose.options;
  return examples;
}

// The type that a fully trained model is written in: the recipe's, or the base's own float type.
Type ResultType(const Recipe& r, const Start& start) {
  if (!r.train.type.empty()) return TypeFromName(r.train.type).value();
  const Type type = MainType(start.weights, start.config.tied_embeddings);
  return !r.new_model && IsFloat(type) ? type : Type::kF16;
}

void SaveResult(const Recipe& r, const Start& start, const Network& network, const RunFolder& folder) {
  if (!network.full()) {
    LoraAdapter adapter = network.adapter();
    adapter.base_model = r.base_id;
    WritePeft(folder.Adapter(), adapter, start.config);
    fmt::print("{}\n", folder.Adapter().string());
    return;
  }
  SaveModel(folder.Model(), network.config(), ToFloat(network.weights(), ResultType(r, start)),
            start.metadata);
  fmt::print("{}\n", folder.Model().string());
}

struct Options {
  std::string recipe, isa = "auto";
  bool force = false;
};

// Before any work: nothing that is read is replaced, not even by a link, and nothing else unless asked for.
RunFolder OpenFolder(const Recipe& r, bool force) {
  const std::vector<std::filesystem::path> inputs{r.file, r.new_model ? r.new_model->vocabulary : r.base,
                                                  r.data.shards};
  for (const auto& file : RunFolder::Files(r.train.out, r.train.adapter)) CheckNotInput(file, inputs);
  return RunFolder(r.train.out, r.train.adapter, force);
}

void RunTrain(const Options& given) {
  const std::filesystem::path path = given.recipe;
  const Recipe r = LoadRecipe(path, kForTrain);
  CheckRecipe(r, kForTrain);
  const RunFolder folder = OpenFolder(r, given.force);
  if (const auto unused = UnusedKeys(r, kForTrain); !unused.empty())
    Terminal().Message(fmt::format("{}: not used by train: {}", path.string(), fmt::join(unused, ", ")));
  const Start start = LoadStart(r);
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(start.metadata));
  const TextEncoder encoder = EncoderOf(*tokenizer);
  const ShardSet shards = ShardSet::Open(r.data.shards);
  const ExampleOptions examples = ExamplesOf(r, start.config.context);
  auto options = static_cast<const TrainOptions&>(r.train);
  const TrainData data = MakeTrainData(shards, examples, options, encoder);
  options.steps = r.train.Steps(data.examples_per_epoch);
  const Kernels& kernels = TrainingKernels(options.precision, given.isa, given.recipe);
  Network network(start.config, start.weights, options, kernels);
  Terminal().Message(
      fmt::format("{}: {} parameters of which {} are trained, {} examples of {} tokens, kernels {}",
                  path.string(), start.config.Parameters(), network.TrainedParameters(),
                  data.examples_per_epoch, examples.length, kernels.name()));
  if (examples.pose) ReportDistances(data, *examples.pose, Terminal());
  EventLog events(folder.Events(), RecipeText(r), data.StepsPerEpoch(options), Terminal());
  const TrainState state = NamingFile(r.new_model ? path.string() : r.base.string(), [&] {
    return Train(network, data, options, Fingerprint(r, kTrainStage), r.train.out, Terminal(), {}, &events);
  });
  // The result is saved first, because nothing else in the run is worth as much.
  SaveResult(r, start, network, folder);
  const nlohmann::ordered_json summary{{"steps", state.step},
                                       {"tokens", state.tokens},
                                       {"seconds", state.seconds},
                                       {"loss", state.log.points.back().loss},
                                       {"peak_memory_bytes", PeakMemoryBytes()},
                                       {"kernels", kernels.name()},
                                       {"threads", Threads()}};
  WriteFile(folder.Summary(), summary.dump(2) + "\n");
  if (!state.unsaved.empty())
    Fail(ErrorKind::kIo, "the result is written, but not its checkpoint: {}", state.unsaved);
}

}  // namespace

void AddTrain(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "Train a model or an adapter from a recipe");
  command->add_option("RECIPE", options->recipe, "YAML file; longspan recipe keys lists every key")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--isa", options->isa, "Instruction set: auto, amx, avx512, avx2, reference")
      ->capture_default_str();
  command->add_flag("--force", options->force,
                    "Replace results in train.out that are there without a checkpoint; never an input");
  command->footer(
      "Reads the sections base, data, context, rope, pose and train; a recipe for extend may have more.\n"
      "Running the same command again goes on from the last checkpoint.\n\n"
      "Example:\n  longspan train recipes/base.yml");
  command->callback([options] { RunTrain(*options); });
}

}  // namespace longspan
