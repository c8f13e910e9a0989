// longspan train: full training, LoRA and rsLoRA, with or without PoSE.
#include <fmt/format.h>

#include <memory>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "formats/llama_gguf.h"
#include "formats/peft.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"
#include "train/config.h"
#include "train/trainer.h"

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
    start.weights = RandomWeights(start.config, c.train.seed);
  }
  if (c.rope_theta) start.config.rope_theta = *c.rope_theta;
  if (c.rope_scaling) {
    start.config.rope_scaling = *c.rope_scaling;
    if (start.config.rope_scaling.original_context == 0) start.config.rope_scaling.original_context = start.config.context;
  }
  return start;
}

// Everything that the result depends on, besides the training options.
std::string Describe(const TrainConfig& c, const LlamaConfig& m, const ShardSet& shards) {
  return fmt::format("model {} {} {} {} {} {} {} {} theta {} {} {} shards {} {} length {} pack {} retrieval {} pose {}",
                     c.base.string(), m.dim, m.layers, m.heads, m.kv_heads, m.head_dim, m.hidden_dim, m.vocab_size,
                     m.rope_theta, Name(m.rope_scaling.kind), m.rope_scaling.factor, shards.train.documents(),
                     shards.train.tokens(), c.examples.length, c.examples.pack, c.examples.retrieval_share,
                     c.examples.pose ? fmt::format("{} {} {}", static_cast<int>(c.examples.pose->variant),
                                                   c.examples.pose->target_context, c.examples.pose->chunks)
                                     : "none");
}

void SaveResult(const TrainConfig& c, const Start& start, const Network& network) {
  if (!network.full()) {
    LoraAdapter adapter = network.adapter();
    adapter.base_model = c.base.filename().string();
    WritePeft(c.out / "adapter", adapter, start.config);
    fmt::print("{}\n", (c.out / "adapter").string());
    return;
  }
  const std::optional<Type> type = TypeFromName(c.new_type);
  if (!type) Fail(ErrorKind::kBadOption, "type '{}': expected F32, F16 or BF16", c.new_type);
  const auto path = c.out / "model.gguf";
  SaveModel(path, network.config(), ToFloat(network.weights(), *type), start.metadata);
  fmt::print("{}\n", path.string());
}

void RunTrain(const std::filesystem::path& path, std::string_view isa) {
  const TrainConfig c = LoadTrainConfig(path);
  const Start start = LoadStart(c);
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(start.metadata));
  const TextEncoder encoder = EncoderOf(*tokenizer);
  const ShardSet shards = ShardSet::Open(c.shards);
  const Examples examples(shards.train, c.examples, encoder);

  TrainData data;
  data.examples = [&](std::int64_t first, std::int64_t count) { return examples.Make(first, count); };
  if (shards.validation && c.train.eval_examples > 0) {
    ExampleOptions options = c.examples;
    options.shuffle = true;   // a spread over all documents, the same at every evaluation
    options.retrieval_share = 0;
    options.pose.reset();
    const Examples validation(*shards.validation, options);
    const std::int64_t count = std::min(c.train.eval_examples, validation.size());
    for (std::int64_t i = 0; i < count; i += c.train.batch_size) {
      data.validation.push_back(validation.Make(i, std::min(c.train.batch_size, count - i)));
    }
  }

  const Kernels& kernels = ChooseKernels(isa);
  Network network(start.config, start.weights, c.train, kernels);
  Terminal().Message(fmt::format("{}: {} parameters of which {} are trained, {} examples of {} tokens, kernels {}",
                                 path.string(), start.config.Parameters(), [&] {
                                   std::int64_t n = 0;
                                   for (const Parameter& p : network.parameters()) n += p.value.elements();
                                   return n;
                                 }(), examples.size(), c.examples.length, kernels.name()));
  Train(network, data, c.train, Describe(c, start.config, shards), c.out, Terminal());
  SaveResult(c, start, network);
}

}  // namespace

void AddTrain(CLI::App& app) {
  auto config = std::make_shared<std::string>();
  auto isa = std::make_shared<std::string>("auto");
  CLI::App* command = app.add_subcommand("train", "Train a model or an adapter as a YAML file says");
  command->add_option("CONFIG", *config, "YAML file: model, data, pose, train, out")->required()->check(CLI::ExistingFile);
  command->add_option("--isa", *isa, "Instruction set: auto, avx512, avx2, reference")->capture_default_str();
  command->footer("Running the same command again goes on from the last checkpoint.\n\nExample:\n  longspan train recipes/base.yml");
  command->callback([config, isa] { RunTrain(*config, *isa); });
}

}  // namespace longspan
