#include "release/extend.h"

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/machine.h"
#include "base/parallel.h"
#include "data/corpus.h"
#include "data/prepare.h"
#include "formats/peft.h"
#include "infer/loaded_model.h"
#include "infer/session.h"
#include "quantize/quantize.h"
#include "release/card.h"
#include "release/checksums.h"
#include "release/evaluate.h"
#include "release/recipe_check.h"
#include "release/stages.h"
#include "text/stream_decoder.h"
#include "train/merge.h"
#include "train/train_data.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

class Job {
 public:
  Job(const Recipe& recipe, const ExtendOptions& options, Progress& progress)
      : recipe_(recipe),
        options_(options),
        progress_(progress),
        out_(recipe.release.out.lexically_normal()),
        work_(WorkFolder(recipe)),
        runner_(work_, progress) {}

  Measurements Run() {
    ReadBase();
    Prepare();
    CheckEvalDocuments();
    Train();
    Merge();
    Quantize();
    m_.before = EvaluateStage("evaluate-base", recipe_.base, recipe_.base_id);
    m_.after = EvaluateStage("evaluate-result", merged_, recipe_.release.name);
    CompareTypes();
    WriteSample();
    Release();
    return m_;
  }

 private:
  // What follows from the base.
  void ReadBase() {
    eval_inputs_ = ResolveInputs(recipe_, recipe_.eval.inputs, "eval.inputs");
    const LoadedModel base(recipe_.base, {}, options_.isa);
    const LlamaConfig& c = base.config();
    window_ = recipe_.context.window > 0 ? recipe_.context.window : c.context;
    m_.longspan_version = options_.version;
    m_.base = {.name = recipe_.base_id,
               .file = recipe_.base.filename().string(),
               .bytes = static_cast<std::int64_t>(fs::file_size(recipe_.base)),
               .parameters = c.Parameters(),
               .layers = c.layers,
               .dim = c.dim,
               .heads = c.heads,
               .kv_heads = c.kv_heads,
               .vocab_size = c.vocab_size,
               .context = c.context,
               .rope_theta = c.rope_theta};
    m_.energy = {recipe_.release.power_watts, recipe_.release.power_source, recipe_.release.grid_g_per_kwh,
                 recipe_.release.grid_source};
    rope_.theta = recipe_.rope.theta;
    if (recipe_.rope.scaling != RopeScaling::Kind::kNone) {
      rope_.scaling = recipe_.rope.scaling;
      rope_.original_context = recipe_.rope.original_context > 0 ? recipe_.rope.original_context : c.context;
      rope_.factor = recipe_.rope.factor.value_or(static_cast<double>(recipe_.context.target) /
                                                  static_cast<double>(rope_.original_context));
    }
  }

  fs::path Facts(std::string_view name) const { return work_ / fmt::format("{}.json", name); }

  void Prepare() {
    const auto inputs = ResolveInputs(recipe_, recipe_.data.inputs);
    const DataRecipe& d = recipe_.data;
    shards_ = work_ / "shards";
    const StageInputs stage{{Fingerprint(recipe_, kPrepareStage)}, [&] {
                              auto files = inputs;
                              files.push_back(recipe_.base);
                              return files;
                            }()};
    RunStage("prepare", stage, {shards_, Facts("data")}, [&] {
      const LoadedModel base(recipe_.base, {}, options_.isa);
      PrepareOptions options;
      options.corpus.text_field = d.text_field;
      options.min_tokens = std::max<std::int64_t>(1, d.min_tokens);
      options.max_tokens = d.max_tokens;
      options.slice = d.slice && d.max_tokens > 0;
      options.validation_share = d.validation;
      const PrepareReport report =
          longspan::Prepare(inputs, EncoderOf(base.tokenizer()), options, shards_, progress_);
      SaveMeasurement(Facts("data"), DataFacts{d.inputs, report.kept, report.too_short, report.too_long,
                                               report.train_tokens, report.validation_tokens});
    });
    m_.data = LoadMeasurement<DataFacts>(Facts("data"));
  }

  ExampleOptions Examples() const {
    ExampleOptions examples;
    examples.length = window_;
    examples.pack = recipe_.train.pack;
    examples.retrieval_share = recipe_.train.retrieval_share;
    examples.echo_share = recipe_.train.echo_share;
    examples.seed = recipe_.train.seed;
    if (recipe_.pose.enabled) examples.pose = recipe_.pose.options;
    return examples;
  }

  void Train() {
    trained_ = work_ / (recipe_.train.adapter == AdapterKind::kFull ? "trained.gguf" : "adapter");
    const std::string settings = Fingerprint(recipe_, kTrainStage);
    RunStage("train", {{settings}, {recipe_.base, shards_}}, {trained_, Facts("train")}, [&] {
      ModelFile base = LoadModel(recipe_.base);
      const LoadedModel tokens(recipe_.base, {}, options_.isa);
      const TextEncoder encoder = EncoderOf(tokens.tokenizer());
      Apply(rope_, base.config, base.weights);
      const ShardSet shards = ShardSet::Open(shards_);
      TrainOptions options = recipe_.train;
      const TrainData data = MakeTrainData(shards, Examples(), options, encoder);
      options.steps = recipe_.train.Steps(data.examples_per_epoch);
      Network network(base.config, base.weights, options, ChooseKernels(options_.isa));
      const TrainState state =
          longspan::Train(network, data, options, settings, runner_.Scratch("train"), progress_);
      SaveTrained(base, network);
      SaveMeasurement(Facts("train"), FactsOf(network, state));
    });
    m_.training = LoadMeasurement<TrainingFacts>(Facts("train"));
  }

  void SaveTrained(const ModelFile& base, const Network& network) const {
    if (network.full()) {
      SaveModel(trained_, network.config(), ToFloat(network.weights(), ReleaseType(base.weights)),
                base.file->metadata());
      return;
    }
    LoraAdapter adapter = network.adapter();
    adapter.base_model = recipe_.base_id;
    WritePeft(trained_, adapter, base.config);
  }

  TrainingFacts FactsOf(const Network& network, const TrainState& state) const {
    TrainingFacts facts;
    facts.steps = state.step;
    facts.tokens = state.tokens;
    facts.trainable_parameters = network.TrainedParameters();
    facts.adapter_scale = network.full() ? 0 : network.adapter().Scale();
    facts.seconds = state.seconds;
    facts.peak_memory_bytes = static_cast<std::int64_t>(PeakMemoryBytes());
    facts.processor = ProcessorName();
    facts.threads = Threads();
    for (const TrainLogPoint& p : state.log.points) {
      facts.points.push_back({p.step, p.tokens, p.loss, p.learning_rate, p.validation_loss});
    }
    return facts;
  }

  // What a merged model is kept as: the base's own type where that is a float type.
  static Type ReleaseType(const Weights& base) {
    const Type type = MainType(base, base.output.bytes().data() == base.embedding.bytes().data());
    return IsFloat(type) ? type : Type::kF16;
  }

  void Merge() {
    merged_ = work_ / "merged.gguf";
    const std::int64_t declared =
        recipe_.context.release > 0 ? recipe_.context.release : recipe_.context.target;
    RunStage("merge", {{Fingerprint(recipe_, kMergeStage)}, {recipe_.base, trained_}}, {merged_}, [&] {
      const bool full = recipe_.train.adapter == AdapterKind::kFull;
      ModelFile model = LoadModel(full ? trained_ : recipe_.base);
      Apply(rope_, model.config, model.weights);
      if (recipe_.rope.release_theta) model.config.rope_theta = *recipe_.rope.release_theta;
      if (!full) {
        const Weights& base = model.weights;
        model.weights =
            MergeAdapter(base, ReadPeft(trained_, model.config), ChooseKernels(options_.isa), progress_);
      }
      model.config.context = declared;
      model.config.name = recipe_.release.name;
      SaveModel(merged_, model.config, model.weights, model.file->metadata());
    });
  }

  fs::path FileOf(std::string_view type) const {
    return out_ / fmt::format("{}-{}.gguf", recipe_.release.name, type);
  }

  void Quantize() {
    for (const std::string& type : recipe_.quantize) {
      RunStage("quantize-" + type, {{type, Fingerprint(recipe_, kQuantizeStage)}, {merged_}}, {FileOf(type)},
               [&] {
                 QuantizeOptions options;
                 options.allow_requantize = true;  // tensors that no adapter touched may be quantised already
                 QuantizeFile(merged_, FileOf(type), FindMix(type), options, progress_);
               });
    }
  }

  // What perplexity is measured on: the recipe's own texts, or the documents held out.
  std::vector<TokenDocument> EvalDocuments() const {
    std::vector<TokenDocument> documents;
    if (!recipe_.eval.inputs.empty()) {
      const LoadedModel base(recipe_.base, {}, options_.isa);
      Corpus corpus(eval_inputs_, {});
      while (const auto document = corpus.Next())
        documents.push_back(base.tokenizer().Encode(document->text));
      return documents;
    }
    const ShardSet shards = ShardSet::Open(shards_);
    if (!shards.validation) return documents;
    for (std::int64_t i = 0; i < shards.validation->documents(); ++i)
      documents.push_back(shards.validation->ReadDocument(i));
    return documents;
  }

  std::vector<fs::path> WithEvalInputs(std::vector<fs::path> files) const {
    if (eval_inputs_.empty()) files.push_back(shards_);
    files.insert(files.end(), eval_inputs_.begin(), eval_inputs_.end());
    return files;
  }

  // Before anything is trained: the documents must reach as far as the recipe wants to measure.
  void CheckEvalDocuments() const {
    const std::int64_t wanted = recipe_.eval.LongestWindow();
    std::int64_t longest = 0;
    for (const TokenDocument& d : EvalDocuments()) longest = std::max(longest, std::ssize(d));
    if (longest < wanted) {
      Fail(ErrorKind::kBadOption,
           "{}: the longest document to measure on has {} tokens, contexts reach {}; name longer texts in "
           "eval.inputs, or raise data.validation",
           recipe_.file.string(), longest, wanted);
    }
  }

  Evaluation EvaluateStage(const std::string& stage, const fs::path& file, const std::string& name) {
    const EvalRecipe& e = recipe_.eval;
    RunStage(stage, {{name, Fingerprint(recipe_, kEvaluateStage)}, WithEvalInputs({file})}, {Facts(stage)},
             [&] {
               Evaluation evaluation = Evaluate(file, EvalDocuments(), e, options_.isa, progress_);
               evaluation.file = name;
               evaluation.text =
                   eval_inputs_.empty() ? "documents held out from training" : "texts of the recipe's choice";
               SaveMeasurement(Facts(stage), evaluation);
             });
    return LoadMeasurement<Evaluation>(Facts(stage));
  }

  void CompareTypes() {
    m_.quantization.reference = Traits(ReleaseType(LoadModel(merged_).weights)).name;
    m_.quantization.context = recipe_.eval.kld.context;
    const KldOptions kld{.context = recipe_.eval.kld.context, .max_tokens = recipe_.eval.kld.max_tokens};
    for (const std::string& type : recipe_.quantize) {
      const std::string stage = "compare-" + type;
      RunStage(stage, {{Fingerprint(recipe_, kCompareStage)}, WithEvalInputs({FileOf(type), merged_})},
               {Facts(stage)}, [&] {
                 SaveMeasurement(Facts(stage), CompareQuantized(FileOf(type), type, merged_, EvalDocuments(),
                                                                kld, options_.isa, progress_));
               });
      const auto facts = LoadMeasurement<QuantizationFacts>(Facts(stage));
      m_.quantization.tokens = facts.tokens;
      m_.quantization.rows.push_back(facts.rows.front());
    }
  }

  void WriteSample() {
    const SampleRecipe& s = recipe_.release.sample;
    if (s.prompt.empty()) return;
    RunStage("sample", {{Fingerprint(recipe_, kSampleStage)}, {merged_}}, {Facts("sample")}, [&] {
      const LoadedModel model(merged_, {}, options_.isa);
      const Tokenizer& tokenizer = model.tokenizer();
      SamplerOptions sampling;
      sampling.temperature = s.temperature;
      sampling.repeat_penalty = s.repeat_penalty;
      sampling.seed = s.seed;
      Sampler sampler(sampling);
      Session session(model.transformer());
      session.Prefill(tokenizer.Encode(s.prompt, {.add_bos = tokenizer.add_bos()}));
      StreamDecoder decoder(tokenizer, {.special = false, .continues = true});
      std::string text;
      GenerateOptions generate;
      generate.max_tokens = s.tokens;
      generate.stop_tokens = model.stop_tokens();
      session.Generate(sampler, generate, [&](std::int32_t token) {
        text += decoder.Push(token);
        return true;
      });
      text += decoder.Finish();
      SaveMeasurement(Facts("sample"), SampleText{recipe_.release.name, s.prompt, text, s.temperature,
                                                  s.repeat_penalty, s.seed});
    });
    m_.sample = LoadMeasurement<SampleText>(Facts("sample"));
  }

  void Release() {
    for (StageTime& stage : m_.stages) stage.seconds = runner_.Seconds(stage.name);
    if (recipe_.train.adapter != AdapterKind::kFull) {
      for (const char* file : {"adapter_config.json", "adapter_model.safetensors"}) {
        WriteFile(out_ / "adapter" / file, ReadFile(trained_ / file, std::uint64_t{1} << 40));
      }
    }
    RemoveStaleFiles();
    WriteCard(out_, recipe_, m_);
    WriteChecksums(out_);
  }

  // Files of types that an earlier version of the recipe had.
  void RemoveStaleFiles() const {
    std::vector<fs::path> stale;
    for (const auto& entry : fs::directory_iterator(out_)) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with(recipe_.release.name + "-") || !name.ends_with(".gguf")) continue;
      const bool wanted = std::ranges::any_of(recipe_.quantize,
                                              [&](const auto& type) { return entry.path() == FileOf(type); });
      if (!wanted) stale.push_back(entry.path());
    }
    for (const fs::path& path : stale) fs::remove(path);
  }

  void RunStage(const std::string& name, const StageInputs& inputs, const std::vector<fs::path>& outputs,
                const std::function<void()>& body) {
    runner_.Run(name, inputs, outputs, body);
    m_.stages.push_back({name, 0});
  }

  const Recipe& recipe_;
  const ExtendOptions& options_;
  Progress& progress_;
  fs::path out_, work_;
  StageRunner runner_;
  RopeOverride rope_;
  std::int64_t window_ = 0;
  fs::path shards_, trained_, merged_;
  std::vector<fs::path> eval_inputs_;  // empty: the documents held out
  Measurements m_;
};

}  // namespace

Measurements Extend(const Recipe& recipe, const ExtendOptions& options, Progress& progress) {
  CheckRecipe(recipe);  // before anything is written
  return Job(recipe, options, progress).Run();
}

}  // namespace longspan
