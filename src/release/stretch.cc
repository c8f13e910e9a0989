#include "release/stretch.h"

#include "base/error.h"
#include "base/machine.h"
#include "base/naming_file.h"
#include "base/parallel.h"
#include "data/shard_set.h"
#include "formats/llama_gguf.h"
#include "formats/peft.h"
#include "infer/loaded_model.h"
#include "release/recipe/recipe_text.h"
#include "runs/event_log.h"
#include "train/merge.h"
#include "train/train_data.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

ExampleOptions ExamplesOf(const StretchJob& job) {
  const Recipe& recipe = job.recipe;
  ExampleOptions examples;
  examples.length = job.window;
  examples.pack = recipe.train.pack;
  examples.retrieval_share = recipe.train.retrieval_share;
  examples.echo_share = recipe.train.echo_share;
  examples.seed = recipe.train.seed;
  if (recipe.pose.enabled) examples.pose = recipe.pose.options;
  return examples;
}

Type FloatType(const Weights& weights) {
  const Type type = MainType(weights, weights.output.bytes().data() == weights.embedding.bytes().data());
  return IsFloat(type) ? type : Type::kF16;
}

void SaveTrained(const StretchJob& job, const ModelFile& base, const Network& network,
                 const fs::path& trained) {
  if (network.full()) {
    SaveModel(trained, network.config(), ToFloat(network.weights(), FloatType(base.weights)),
              base.file->metadata());
    return;
  }
  LoraAdapter adapter = network.adapter();
  adapter.base_model = job.recipe.base_id;
  WritePeft(trained, adapter, base.config);
}

TrainingFacts FactsOf(const Network& network, const TrainState& state) {
  TrainingFacts facts;
  facts.steps = state.step;
  facts.skipped = state.log.Skipped();
  facts.tokens = state.tokens;
  facts.trainable_parameters = network.TrainedParameters();
  facts.adapter_scale = network.full() ? 0 : network.adapter().Scale();
  facts.seconds = state.seconds;
  facts.peak_memory_bytes = static_cast<std::int64_t>(PeakMemoryBytes());
  facts.processor = ProcessorName();
  facts.threads = Threads();
  for (const TrainLogPoint& p : state.log.points)
    facts.points.push_back({p.step, p.tokens, p.loss, p.learning_rate, p.validation_loss});
  return facts;
}

}  // namespace

StretchJob StretchOf(const Recipe& recipe, const fs::path& base, std::int64_t base_window,
                     const std::string& isa) {
  StretchJob job{recipe, base, {}, recipe.context.window > 0 ? recipe.context.window : base_window, isa};
  job.rope.theta = recipe.rope.theta;
  if (recipe.rope.scaling != RopeScaling::Kind::kNone) {
    job.rope.scaling = recipe.rope.scaling;
    job.rope.original_context = recipe.rope.original_context > 0 ? recipe.rope.original_context : base_window;
    job.rope.factor = recipe.rope.factor.value_or(static_cast<double>(recipe.context.target) /
                                                  static_cast<double>(job.rope.original_context));
  }
  return job;
}

RopeOverride ReleasedRope(const StretchJob& job) {
  RopeOverride rope = job.rope;
  if (job.recipe.rope.release_theta) rope.theta = job.recipe.rope.release_theta;
  return rope;
}

TrainingFacts TrainStretch(const StretchJob& job, const fs::path& shards_folder, const fs::path& trained,
                           const fs::path& scratch, Progress& progress) {
  ModelFile base = LoadModel(job.base);
  const LoadedModel tokens(job.base, {}, job.isa);
  const TextEncoder encoder = EncoderOf(tokens.tokenizer());
  Apply(job.rope, base.config, base.weights);
  const ShardSet shards = ShardSet::Open(shards_folder);
  auto options = static_cast<const TrainOptions&>(job.recipe.train);
  const ExampleOptions examples = ExamplesOf(job);
  const TrainData data = MakeTrainData(shards, examples, options, encoder);
  options.steps = job.recipe.train.Steps(data.examples_per_epoch);
  const Kernels& kernels = TrainingKernels(options.precision, job.isa, job.recipe.file.string());
  progress.Message(fmt::format("training with kernels {}", kernels.name()));
  Network network(base.config, base.weights, options, kernels);
  if (examples.pose) ReportDistances(data, *examples.pose, progress);
  EventLog events(job.events, RecipeText(job.recipe), data.StepsPerEpoch(options), progress);
  const TrainState state = NamingFile(job.base.string(), [&] {
    return Train(network, data, options, Fingerprint(job.recipe, kTrainStage), scratch, progress, {},
                 &events);
  });
  SaveTrained(job, base, network, trained);
  if (!state.unsaved.empty())
    progress.Message(fmt::format("the result is written, but not its checkpoint: {}", state.unsaved));
  return FactsOf(network, state);
}

void MergeStretch(const StretchJob& job, const fs::path& trained, const fs::path& merged,
                  Progress& progress) {
  const Recipe& recipe = job.recipe;
  const bool full = recipe.train.adapter == AdapterKind::kFull;
  ModelFile model = LoadModel(full ? trained : job.base);
  Apply(ReleasedRope(job), model.config, model.weights);
  if (!full) {
    const Weights& base = model.weights;
    model.weights = MergeAdapter(base, ReadPeft(trained, model.config), ChooseKernels(job.isa), progress);
  }
  model.config.context = recipe.context.release > 0 ? recipe.context.release : recipe.context.target;
  model.config.name = recipe.release.name;
  SaveModel(merged, model.config, model.weights, model.file->metadata());
}

Type ReleaseType(const fs::path& model) { return FloatType(LoadModel(model).weights); }

}  // namespace longspan
