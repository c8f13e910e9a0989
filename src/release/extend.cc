#include "release/extend.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/machine.h"
#include "base/parallel.h"
#include "data/prepare.h"
#include "formats/peft.h"
#include "infer/loaded_model.h"
#include "quantize/quantize.h"
#include "release/card.h"
#include "release/checksums.h"
#include "release/eval_texts.h"
#include "release/evaluate.h"
#include "release/job_paths.h"
#include "release/recipe_check.h"
#include "release/recipe_text.h"
#include "release/sample.h"
#include "release/stages.h"
#include "train/merge.h"
#include "train/train_data.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

// Versions of what computes each stage: raise one when its code gives other results for the same inputs.
constexpr int kBaseVersion = 1;
constexpr int kPrepareVersion = 1;
constexpr int kEvalTextsVersion = 1;
constexpr int kTrainVersion = 1;
constexpr int kMergeVersion = 1;
constexpr int kQuantizeVersion = 1;
constexpr int kEvaluateVersion = 1;
constexpr int kCompareVersion = 1;
constexpr int kSampleVersion = 1;
constexpr int kReleaseVersion = 1;

constexpr std::array kCardFiles{"README.md", "plots/loss.svg", "plots/perplexity.svg", "plots/passkey.svg"};
constexpr std::array kAdapterFiles{"adapter_config.json", "adapter_model.safetensors"};

class Job {
 public:
  Job(const Recipe& recipe, const ExtendOptions& options, Progress& progress)
      : recipe_(recipe),
        options_(options),
        progress_(progress),
        paths_(CheckedPaths(recipe)),
        runner_(paths_.work, progress),
        folder_(paths_.out, paths_.work, {recipe.file, recipe.release.name}, options.outputs,
                runner_.digests(), progress) {}

  Measurements Run() {
    folder_.Check(OutputNames());
    Base();
    Prepare();
    EvalTexts();
    Train();
    Merge();
    Quantize();
    m_.before = EvaluateStage("evaluate-base", recipe_.base, recipe_.base_id);
    m_.after = EvaluateStage("evaluate-result", merged_, recipe_.release.name);
    CompareTypes();
    Sample();
    Release();
    return m_;
  }

 private:
  // The base, and what only it can tell about the recipe before hours are spent.
  void Base() {
    // A wrong recipe should be known before gigabytes are digested.
    if (!runner_.digests().Knows(recipe_.base)) CheckRecipe(recipe_);
    runner_.Run("base", {kBaseVersion, {RecipeText(recipe_)}, {recipe_.base}}, {Facts("base")}, [&] {
      CheckRecipe(recipe_);
      SaveMeasurement(Facts("base"), FactsOfBase(recipe_.base, recipe_.base_id, options_.isa));
    });
    m_.base = LoadMeasurement<BaseFacts>(Facts("base"));
    m_.longspan_version = options_.version;
    m_.energy = {recipe_.release.power_watts, recipe_.release.power_source, recipe_.release.grid_g_per_kwh,
                 recipe_.release.grid_source};
    window_ = recipe_.context.window > 0 ? recipe_.context.window : m_.base.context;
    rope_.theta = recipe_.rope.theta;
    if (recipe_.rope.scaling != RopeScaling::Kind::kNone) {
      rope_.scaling = recipe_.rope.scaling;
      rope_.original_context =
          recipe_.rope.original_context > 0 ? recipe_.rope.original_context : m_.base.context;
      rope_.factor = recipe_.rope.factor.value_or(static_cast<double>(recipe_.context.target) /
                                                  static_cast<double>(rope_.original_context));
    }
  }

  fs::path Facts(std::string_view name) const { return paths_.work / fmt::format("{}.json", name); }

  void Prepare() {
    const DataRecipe& d = recipe_.data;
    shards_ = paths_.work / "shards";
    const StageInputs stage{
        kPrepareVersion, {Fingerprint(recipe_, kPrepareStage)}, WithBase(paths_.data)};
    RunStage("prepare", stage, {shards_, Facts("data")}, [&] {
      const LoadedModel base(recipe_.base, {}, options_.isa);
      PrepareOptions options;
      options.corpus.text_field = d.text_field;
      options.min_tokens = std::max<std::int64_t>(1, d.min_tokens);
      options.max_tokens = d.max_tokens;
      options.slice = d.slice && d.max_tokens > 0;
      options.validation_share = d.validation;
      const PrepareReport report =
          longspan::Prepare(paths_.data, EncoderOf(base.tokenizer()), options, shards_, progress_);
      ReportSkips("data.inputs", report.skips.lines, report.skips.files, report.skips.first, progress_);
      SaveMeasurement(Facts("data"), DataFacts{d.inputs, report.kept, report.too_short, report.too_long,
                                               report.train_tokens, report.validation_tokens});
    });
    m_.data = LoadMeasurement<DataFacts>(Facts("data"));
  }

  std::vector<fs::path> WithBase(std::vector<fs::path> files) const {
    files.push_back(recipe_.base);
    return files;
  }

  // The documents to measure on. Before anything is trained: they must reach as far as the recipe wants to
  // measure.
  void EvalTexts() {
    const fs::path facts = Facts("eval-texts");
    if (paths_.eval.empty()) {
      texts_ = shards_;
      which_texts_ = longspan::EvalTexts::kHeldOut;
      RunStage("eval-texts", {kEvalTextsVersion, {}, {shards_}}, {facts},
               [&] { SaveMeasurement(facts, MeasureEvalTexts(texts_, which_texts_)); });
    } else {
      texts_ = paths_.work / "eval-texts";
      which_texts_ = longspan::EvalTexts::kAll;
      CorpusOptions corpus;
      corpus.text_field = recipe_.data.text_field;
      RunStage("eval-texts", {kEvalTextsVersion, {corpus.text_field}, WithBase(paths_.eval)}, {texts_, facts},
               [&] {
                 const LoadedModel base(recipe_.base, {}, options_.isa);
                 SaveMeasurement(facts, PrepareEvalTexts(paths_.eval, corpus, EncoderOf(base.tokenizer()),
                                                         texts_, progress_));
               });
    }
    const auto found = LoadMeasurement<EvalTextFacts>(facts);
    ReportSkips("eval.inputs", found.skipped_lines, found.skipped_files, found.first_skipped, progress_);
    const std::int64_t wanted = recipe_.eval.LongestWindow();
    if (found.longest < wanted) {
      Fail(ErrorKind::kBadOption,
           "{}: the longest document to measure on has {} tokens, contexts reach {}; name longer texts in "
           "eval.inputs, or raise data.validation",
           recipe_.file.string(), found.longest, wanted);
    }
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
    trained_ = paths_.work / (recipe_.train.adapter == AdapterKind::kFull ? "trained.gguf" : "adapter");
    const std::string settings = Fingerprint(recipe_, kTrainStage);
    RunStage("train", {kTrainVersion, {settings}, {recipe_.base, shards_}}, {trained_, Facts("train")}, [&] {
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
          longspan::Train(network, data, options, settings, runner_.Scratch(), progress_);
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
    merged_ = paths_.work / "merged.gguf";
    const std::int64_t declared =
        recipe_.context.release > 0 ? recipe_.context.release : recipe_.context.target;
    const StageInputs inputs{kMergeVersion, {Fingerprint(recipe_, kMergeStage)}, {recipe_.base, trained_}};
    RunStage("merge", inputs, {merged_}, [&] {
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

  std::string NameOf(std::string_view type) const {
    return fmt::format("{}-{}.gguf", recipe_.release.name, type);
  }
  fs::path FileOf(std::string_view type) const { return folder_.Path(NameOf(type)); }

  void Quantize() {
    for (const std::string& type : recipe_.quantize) {
      RunStage("quantize-" + type, {kQuantizeVersion, {type, Fingerprint(recipe_, kQuantizeStage)}, {merged_}}, {FileOf(type)}, [&] {
        QuantizeOptions options;
        options.allow_requantize = true;  // tensors that no adapter touched may be quantised already
        QuantizeFile(merged_, folder_.staging() / NameOf(type), FindMix(type), options, progress_);
        folder_.Publish(std::array{NameOf(type)});
      });
    }
  }

  Evaluation EvaluateStage(const std::string& stage, const fs::path& file, const std::string& name) {
    const EvalRecipe& e = recipe_.eval;
    RunStage(stage, {kEvaluateVersion, {name, Fingerprint(recipe_, kEvaluateStage)}, {file, texts_}}, {Facts(stage)}, [&] {
      Evaluation evaluation = Evaluate(file, ReadEvalTexts(texts_, which_texts_), e, options_.isa, progress_);
      evaluation.file = name;
      evaluation.text =
          paths_.eval.empty() ? "documents held out from training" : "texts of the recipe's choice";
      SaveMeasurement(Facts(stage), evaluation);
    });
    return LoadMeasurement<Evaluation>(Facts(stage));
  }

  void CompareTypes() {
    m_.quantization.context = recipe_.eval.kld.context;
    const KldOptions kld{.context = recipe_.eval.kld.context, .max_tokens = recipe_.eval.kld.max_tokens};
    for (const std::string& type : recipe_.quantize) {
      const std::string stage = "compare-" + type;
      const StageInputs inputs{kCompareVersion, {Fingerprint(recipe_, kCompareStage)}, {FileOf(type), merged_, texts_}};
      RunStage(stage, inputs, {Facts(stage)}, [&] {
        QuantizationFacts facts = CompareQuantized(
            FileOf(type), type, merged_, ReadEvalTexts(texts_, which_texts_), kld, options_.isa, progress_);
        facts.reference = Traits(ReleaseType(LoadModel(merged_).weights)).name;
        SaveMeasurement(Facts(stage), facts);
      });
      const auto facts = LoadMeasurement<QuantizationFacts>(Facts(stage));
      m_.quantization.reference = facts.reference;
      m_.quantization.tokens = facts.tokens;
      m_.quantization.rows.push_back(facts.rows.front());
    }
  }

  void Sample() {
    const SampleRecipe& s = recipe_.release.sample;
    if (s.prompt.empty()) return;
    RunStage("sample", {kSampleVersion, {recipe_.release.name, Fingerprint(recipe_, kSampleStage)}, {merged_}}, {Facts("sample")}, [&] {
      SaveMeasurement(Facts("sample"), WriteSample(merged_, recipe_.release.name, s, options_.isa));
    });
    m_.sample = LoadMeasurement<SampleText>(Facts("sample"));
  }

  // Everything that the release folder is to hold, by name.
  std::vector<std::string> OutputNames() const {
    std::vector<std::string> names = CardNames();
    for (const std::string& type : recipe_.quantize) names.push_back(NameOf(type));
    names.emplace_back(kChecksumsFile);
    return names;
  }
  // Of these, what the last stage writes beside the checksums.
  std::vector<std::string> CardNames() const {
    std::vector<std::string> names(kCardFiles.begin(), kCardFiles.end());
    if (recipe_.train.adapter != AdapterKind::kFull) {
      for (const char* file : kAdapterFiles) names.push_back(fmt::format("adapter/{}", file));
    }
    return names;
  }

  void Release() {
    for (StageTime& stage : m_.stages) stage.seconds = runner_.Seconds(stage.name);
    const std::string measured = ToJson(m_).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    StageInputs inputs{
        kReleaseVersion, {measured, recipe_.text, recipe_.file.filename().string()}, {trained_}};
    std::vector<fs::path> outputs;
    for (const std::string& type : recipe_.quantize) inputs.files.push_back(FileOf(type));
    for (const std::string& name : CardNames()) outputs.push_back(folder_.Path(name));
    outputs.push_back(folder_.Path(std::string(kChecksumsFile)));
    runner_.Run("release", inputs, outputs, [&] {
      if (recipe_.train.adapter != AdapterKind::kFull) {
        for (const char* file : kAdapterFiles)
          CopyFile(trained_ / file, folder_.staging() / "adapter" / file);
      }
      WriteCard(folder_.staging(), recipe_, m_);
      folder_.Publish(CardNames());
      folder_.RemoveAllBut(OutputNames());
      WriteFile(folder_.staging() / kChecksumsFile, ChecksumLines(folder_.Digests()));
      folder_.Publish(std::array{std::string(kChecksumsFile)});
    });
  }

  void RunStage(const std::string& name, const StageInputs& inputs, const std::vector<fs::path>& outputs,
                const std::function<void()>& body) {
    runner_.Run(name, inputs, outputs, body);
    m_.stages.push_back({name, 0});
  }

  const Recipe& recipe_;
  const ExtendOptions& options_;
  Progress& progress_;
  JobPaths paths_;
  StageRunner runner_;
  OutputFolder folder_;
  RopeOverride rope_;
  std::int64_t window_ = 0;
  fs::path shards_, texts_, trained_, merged_;
  longspan::EvalTexts which_texts_ = longspan::EvalTexts::kAll;
  Measurements m_;
};

}  // namespace

Measurements Extend(const Recipe& recipe, const ExtendOptions& options, Progress& progress) {
  // A wrong recipe should leave nothing behind.
  if (!fs::exists(WorkFolder(recipe))) CheckRecipe(recipe);
  try {
    return Job(recipe, options, progress).Run();
  } catch (const fs::filesystem_error& error) {  // the system refused; that is no fault of ours
    Fail(ErrorKind::kIo, "{}: {}", error.path1().string(), error.code().message());
  }
}

}  // namespace longspan
