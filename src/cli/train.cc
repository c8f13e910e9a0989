// longspan train: full training, LoRA and rsLoRA, with or without PoSE.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/machine.h"
#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "formats/llama_gguf.h"
#include "formats/peft.h"
#include "model/induction.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"
#include "train/config.h"
#include "train/train_data.h"

namespace longspan {
namespace {

struct Start {
  LlamaConfig config;
  Weights weights;
  GgufMetadata metadata;  // of the source: its tokenizer
};

Start LoadStart(const TrainConfig& c) {
  Start start;
  if (!c.base.empty()) {
    ModelFile file = LoadModel(c.base);
    start = {file.config, file.weights, file.file->metadata()};
  } else {
    start.metadata = GgufFile::Open(c.vocabulary)->metadata();
    start.config = c.new_model;
    start.config.vocab_size = static_cast<std::int64_t>(ReadVocabulary(start.metadata).tokens.size());
    start.config.Validate(c.file.string());
    start.weights = (c.induction ? InductionWeights : RandomWeights)(start.config, c.train.seed);
  }
  Apply(c.rope, start.config, start.weights);
  return start;
}

// What the result depends on besides the training options, the text and the base, as names and values.
std::string Describe(const TrainConfig& c, const LlamaConfig& m) {
  const RopeScaling& rope = m.rope_scaling;
  return fmt::format(
      "theta {} scaling {} factor {} original_context {} length {} pack {} retrieval {} echo {} pose {}",
      m.rope_theta, Name(rope.kind), rope.factor, rope.original_context, c.examples.length, c.examples.pack,
      c.examples.retrieval_share, c.examples.echo_share,
      c.examples.pose ? Describe(*c.examples.pose) : "none");
}

// What a fully trained model is written as: what the configuration says, or the base's own float type.
Type ResultType(const TrainConfig& c, const Start& start) {
  if (!c.type.empty()) {
    const std::optional<Type> type = TypeFromName(c.type);
    if (!type || !IsFloat(*type))
      Fail(ErrorKind::kBadOption, "{}: type '{}', expected F32, F16 or BF16", c.file.string(), c.type);
    return *type;
  }
  const Type type = MainType(start.weights, start.config.tied_embeddings);
  return !c.base.empty() && IsFloat(type) ? type : Type::kF16;
}

void SaveResult(const TrainConfig& c, const Start& start, const Network& network) {
  if (!network.full()) {
    LoraAdapter adapter = network.adapter();
    adapter.base_model = c.base.filename().string();
    WritePeft(c.out / "adapter", adapter, start.config);
    fmt::print("{}\n", (c.out / "adapter").string());
    return;
  }
  const auto path = c.out / "model.gguf";
  SaveModel(path, network.config(), ToFloat(network.weights(), ResultType(c, start)), start.metadata);
  fmt::print("{}\n", path.string());
}

void RunTrain(const std::filesystem::path& path, std::string_view isa) {
  const TrainConfig c = LoadTrainConfig(path);
  const Start start = LoadStart(c);
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(start.metadata));
  const TextEncoder encoder = EncoderOf(*tokenizer);
  const ShardSet shards = ShardSet::Open(c.shards);
  const TrainData data = MakeTrainData(shards, c.examples, c.train, encoder);
  const Kernels& kernels = ChooseKernels(isa);
  Network network(start.config, start.weights, c.train, kernels);
  Terminal().Message(
      fmt::format("{}: {} parameters of which {} are trained, {} examples of {} tokens, kernels {}",
                  path.string(), start.config.Parameters(), network.TrainedParameters(),
                  data.examples_per_epoch, c.examples.length, kernels.name()));
  const TrainState state = Train(network, data, c.train, Describe(c, start.config), c.out, Terminal());
  // The result first: nothing else of the run is as dear.
  SaveResult(c, start, network);
  const nlohmann::ordered_json summary{{"steps", state.step},
                                       {"tokens", state.tokens},
                                       {"seconds", state.seconds},
                                       {"loss", state.log.points.back().loss},
                                       {"peak_memory_bytes", PeakMemoryBytes()},
                                       {"kernels", kernels.name()},
                                       {"threads", Threads()}};
  WriteFile(c.out / "summary.json", summary.dump(2) + "\n");
  if (!state.unsaved.empty())
    Fail(ErrorKind::kIo, "the result is written, but not its checkpoint: {}", state.unsaved);
}

}  // namespace

void AddTrain(CLI::App& app) {
  auto config = std::make_shared<std::string>();
  auto isa = std::make_shared<std::string>("auto");
  CLI::App* command = app.add_subcommand("train", "Train a model or an adapter as a YAML file says");
  command->add_option("CONFIG", *config, "YAML file: model, data, pose, train, out")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--isa", *isa, "Instruction set: auto, amx, avx512, avx2, reference")
      ->capture_default_str();
  command->footer(
      "Running the same command again goes on from the last checkpoint.\n\n"
      "Example:\n  longspan train recipes/base.yml");
  command->callback([config, isa] { RunTrain(*config, *isa); });
}

}  // namespace longspan
