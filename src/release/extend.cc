#include "release/extend.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "convert/gguf_to_hf.h"
#include "convert/hf_files.h"
#include "convert/hf_to_gguf.h"
#include "data/prepare.h"
#include "formats/gguf_shards.h"
#include "infer/loaded_model.h"
#include "quantize/quantize.h"
#include "release/card.h"
#include "release/checksums.h"
#include "release/eval_texts.h"
#include "release/evaluate.h"
#include "release/job_paths.h"
#include "release/preparation.h"
#include "release/recipe/recipe_check.h"
#include "release/recipe/recipe_text.h"
#include "release/sample.h"
#include "release/stages.h"
#include "release/stretch.h"
#include "text/warnings.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

// Versions of what computes each stage: raise one when its code gives other results for the same inputs.
constexpr int kConvertVersion = 1;
constexpr int kBaseVersion = 1;
constexpr int kPrepareVersion = 2;
constexpr int kEvalTextsVersion = 2;
constexpr int kTrainVersion = 2;
constexpr int kMergeVersion = 1;
constexpr int kQuantizeVersion = 1;
constexpr int kEvaluateVersion = 2;
constexpr int kCompareVersion = 1;
constexpr int kSampleVersion = 1;
constexpr int kHuggingFaceVersion = 1;
constexpr int kReleaseVersion = 1;

constexpr std::array kCardFiles{"README.md", "plots/loss.svg", "plots/perplexity.svg", "plots/passkey.svg"};
constexpr const char* kHfFolder = "huggingface";
constexpr std::array kAdapterFiles{"adapter_config.json", "adapter_model.safetensors"};

// The files that a model is read from: a Hugging Face folder's, and all shards of a GGUF file.
std::vector<fs::path> ModelFiles(const fs::path& model) {
  if (fs::is_directory(model)) return HfModelFiles(model);
  std::vector<fs::path> files = GgufShardFiles(model);
  std::erase_if(files,
                [](const fs::path& file) { return !fs::exists(file); });  // opening the model will say so
  return files;
}

std::vector<fs::path> Joined(std::vector<fs::path> files, const std::vector<fs::path>& more) {
  files.insert(files.end(), more.begin(), more.end());
  return files;
}

std::string RopeText(const RopeOverride& rope) {
  return fmt::format("rope {} {} {} {}", rope.theta.value_or(0),
                     rope.scaling ? Name(*rope.scaling) : std::string_view("as it is"), rope.factor,
                     rope.original_context);
}

class Job {
 public:
  Job(const Recipe& recipe, const ExtendOptions& options, Progress& progress)
      : recipe_(recipe),
        options_(options),
        progress_(progress),
        paths_(CheckedPaths(recipe)),
        runner_(paths_.work, progress),
        folder_(paths_.out, paths_.work, {recipe.file, recipe.release.name}, options.outputs,
                runner_.digests(), progress),
        eval_(recipe.eval) {}

  Measurements Run() {
    folder_.Check(OutputNames(), WholeFolders());
    Base();
    Prepare();
    EvalTexts();
    RetentionTexts();
    Train();
    Merge();
    Quantize();
    m_.before = EvaluateStage("evaluate-base", base_, {}, recipe_.base_id);
    if (HasControl(recipe_)) {
      m_.scaled = EvaluateStage("evaluate-scaled", base_, ReleasedRope(Stretch()),
                                recipe_.base_id + " with the released RoPE, untrained");
    }
    m_.after = EvaluateStage("evaluate-result", merged_, {}, recipe_.release.name);
    CompareTypes();
    Sample();
    HuggingFace();
    Release();
    return m_;
  }

 private:
  // Opens the base and checks the recipe against it before hours are spent. A Hugging Face folder becomes a
  // GGUF file first.
  void Base() {
    base_ = recipe_.base;
    const std::vector<fs::path> files = ModelFiles(recipe_.base);
    // A wrong recipe should be known before gigabytes are digested.
    const bool known = std::ranges::all_of(files, [&](const auto& f) { return runner_.digests().Knows(f); });
    if (files.empty() || !known) CheckRecipe(recipe_);
    if (fs::is_directory(recipe_.base)) {
      base_ = paths_.work / "base.gguf";
      // By their names, too: what a file says depends on which it is.
      StageInputs inputs{kConvertVersion, {}, files};
      for (const fs::path& file : files)
        inputs.values.push_back(file.lexically_relative(recipe_.base).generic_string());
      RunStage("convert", inputs, {base_}, [&] { ConvertHfToGguf(recipe_.base, base_, "auto", progress_); });
    }
    runner_.Run("base", {kBaseVersion, {RecipeText(recipe_)}, ModelFiles(base_)}, {Facts("base")}, [&] {
      CheckBase(recipe_, base_);
      WarnAbout(LoadedModel(base_, {}, options_.isa).tokenizer().vocabulary(), progress_);
      SaveMeasurement(Facts("base"), FactsOfBase(base_, recipe_.base_id, options_.isa));
    });
    m_.base = LoadMeasurement<BaseFacts>(Facts("base"));
    m_.longspan_version = options_.version;
    m_.energy = {recipe_.release.power_watts, recipe_.release.power_source, recipe_.release.grid_g_per_kwh,
                 recipe_.release.grid_source};
  }

  fs::path Facts(std::string_view name) const { return paths_.work / fmt::format("{}.json", name); }

  void Prepare() {
    const DataRecipe& d = recipe_.data;
    shards_ = paths_.work / "shards";
    const StageInputs stage{
        kPrepareVersion, {Fingerprint(recipe_, kPrepareStage)}, Joined(paths_.data, ModelFiles(base_))};
    RunStage("prepare", stage, {shards_, Facts("data")}, [&] {
      const LoadedModel base(base_, {}, options_.isa);
      PrepareOptions options = PreparationOf(d);
      options.work = runner_.Scratch();
      const PrepareReport report =
          longspan::Prepare(paths_.data, EncoderOf(base.tokenizer()), options, shards_, progress_);
      Report(report.skips, progress_);
      WarnOfBytesLeftOut(base.tokenizer(), progress_);
      const DocumentFates& total = report.total;
      SaveMeasurement(Facts("data"), DataFacts{d.inputs, total.kept.documents, total.too_short.documents,
                                               total.too_long.documents,
                                               total.duplicates.documents + total.near_duplicates.documents,
                                               report.train_tokens, report.validation_tokens});
    });
    m_.data = LoadMeasurement<DataFacts>(Facts("data"));
  }

  // Prepares the documents to measure on. This comes before training, because they must be as long as the
  // recipe wants to measure.
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
      RunStage("eval-texts", {kEvalTextsVersion, {corpus.text_field}, Joined(paths_.eval, ModelFiles(base_))},
               {texts_, facts}, [&] {
                 const LoadedModel base(base_, {}, options_.isa);
                 SaveMeasurement(
                     facts, PrepareEvalTexts("eval.inputs", paths_.eval, corpus, EncoderOf(base.tokenizer()),
                                             texts_, runner_.Scratch(), progress_));
               });
    }
    const auto found = LoadMeasurement<EvalTextFacts>(facts);
    MessageOfSkips("eval.inputs", found);
    eval_ = EvalWithin(recipe_, found.longest);
    if (eval_.by_position.max_tokens < recipe_.eval.by_position.max_tokens) {
      progress_.Message(fmt::format(
          "loss by position: up to {} tokens, because no document to measure on is longer", found.longest));
    }
  }

  void MessageOfSkips(std::string_view key, const EvalTextFacts& facts) {
    if (facts.skipped.empty()) return;
    progress_.Message(
        fmt::format("{}: {} could not be used; first: {}", key, facts.skipped, facts.first_skipped));
  }

  // Prepares the texts that the base must go on knowing, each by itself.
  void RetentionTexts() {
    for (std::size_t i = 0; i < paths_.retention.size(); ++i) {
      const std::vector<fs::path>& inputs = paths_.retention[i];
      const std::string stage = fmt::format("retention-{}", i + 1);
      CorpusOptions corpus;
      corpus.text_field = recipe_.data.text_field;
      retention_.push_back(paths_.work / stage);
      RunStage(stage, {kEvalTextsVersion, {corpus.text_field}, Joined(inputs, ModelFiles(base_))},
               {retention_.back(), Facts(stage)}, [&] {
                 const LoadedModel base(base_, {}, options_.isa);
                 SaveMeasurement(
                     Facts(stage),
                     PrepareEvalTexts("data.retention", inputs, corpus, EncoderOf(base.tokenizer()),
                                      retention_.back(), runner_.Scratch(), progress_));
               });
      const auto found = LoadMeasurement<EvalTextFacts>(Facts(stage));
      MessageOfSkips("data.retention", found);
      CheckRetentionText(recipe_, i, found.longest);
    }
  }

  void Train() {
    trained_ = paths_.work / (recipe_.train.adapter == AdapterKind::kFull ? "trained.gguf" : "adapter");
    RunStage("train",
             {kTrainVersion, {Fingerprint(recipe_, kTrainStage)}, Joined(ModelFiles(base_), {shards_})},
             {trained_, Facts("train")}, [&] {
               SaveMeasurement(Facts("train"),
                               TrainStretch(Stretch(), shards_, trained_, runner_.Scratch(), progress_));
             });
    m_.training = LoadMeasurement<TrainingFacts>(Facts("train"));
  }

  void Merge() {
    merged_ = paths_.work / "merged.gguf";
    RunStage("merge",
             {kMergeVersion, {Fingerprint(recipe_, kMergeStage)}, Joined(ModelFiles(base_), {trained_})},
             {merged_}, [&] { MergeStretch(Stretch(), trained_, merged_, progress_); });
  }

  StretchJob Stretch() const {
    StretchJob job = StretchOf(recipe_, base_, m_.base.context, options_.isa);
    job.events = paths_.work / "runs";
    return job;
  }

  std::string NameOf(std::string_view type) const {
    return fmt::format("{}-{}.gguf", recipe_.release.name, type);
  }
  fs::path FileOf(std::string_view type) const { return folder_.Path(NameOf(type)); }

  void Quantize() {
    for (const std::string& type : recipe_.quantize) {
      RunStage("quantize-" + type,
               {kQuantizeVersion, {type, Fingerprint(recipe_, kQuantizeStage)}, {merged_}}, {FileOf(type)},
               [&] {
                 QuantizeOptions options;
                 options.allow_requantize = true;  // tensors that no adapter touched may be quantised already
                 QuantizeFile(merged_, folder_.staging() / NameOf(type), FindMix(type), options, progress_);
                 folder_.Publish(std::array{NameOf(type)});
               });
    }
  }

  // Beyond the base's window, the texts to be kept are read by models that reach so far alone.
  EvalDocuments ReadAllTexts(bool beyond_the_base) const {
    std::vector<std::int64_t> contexts = RetentionContexts(recipe_, m_.base.context);
    const std::int64_t reach = contexts.back();
    if (!beyond_the_base) contexts.resize(1);
    EvalDocuments texts{ReadEvalTexts(texts_, which_texts_), {}, contexts, reach};
    for (std::size_t i = 0; i < retention_.size(); ++i) {
      texts.retention.push_back({RetentionName(recipe_.data.retention, i),
                                 ReadEvalTexts(retention_[i], longspan::EvalTexts::kAll)});
    }
    return texts;
  }

  Evaluation EvaluateStage(const std::string& stage, const fs::path& file, const RopeOverride& rope,
                           const std::string& name) {
    StageInputs inputs{
        kEvaluateVersion, {name, Fingerprint(recipe_, kEvaluateStage)}, Joined(ModelFiles(file), {texts_})};
    inputs.values.push_back(RopeText(rope));
    for (const std::string& text : recipe_.data.retention) inputs.values.push_back(text);
    inputs.files = Joined(std::move(inputs.files), retention_);
    RunStage(stage, inputs, {Facts(stage)}, [&] {
      Evaluation evaluation =
          Evaluate(file, rope, ReadAllTexts(stage != "evaluate-base"), eval_, options_.isa, progress_);
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
      const StageInputs inputs{
          kCompareVersion, {Fingerprint(recipe_, kCompareStage)}, {FileOf(type), merged_, texts_}};
      RunStage(stage, inputs, {Facts(stage)}, [&] {
        QuantizationFacts facts = CompareQuantized(
            FileOf(type), type, merged_, ReadEvalTexts(texts_, which_texts_), kld, options_.isa, progress_);
        facts.reference = Traits(ReleaseType(merged_)).name;
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
    RunStage("sample",
             {kSampleVersion, {recipe_.release.name, Fingerprint(recipe_, kSampleStage)}, {merged_}},
             {Facts("sample")}, [&] {
               SaveMeasurement(Facts("sample"), WriteSample(merged_, recipe_.release.name, s, options_.isa));
             });
    m_.sample = LoadMeasurement<SampleText>(Facts("sample"));
  }

  // Writes the merged model as a Hugging Face folder, which people load in Python. Which files it has is
  // known when it is written, so the folder is the job's as a whole.
  void HuggingFace() {
    if (!recipe_.release.huggingface) return;
    const std::string card = HuggingFaceCard(recipe_, m_.base);
    RunStage("huggingface", {kHuggingFaceVersion, {card}, {merged_}}, {HfFolder(), Facts(kHfFolder)}, [&] {
      const fs::path staged = folder_.StageFolder(kHfFolder);
      // What the base has quantised, and no adapter touched, is still so.
      ConvertGgufToHf(merged_, staged, {.decode = true}, progress_);
      WriteFile(staged / "README.md", card);
      SaveMeasurement(Facts(kHfFolder), HuggingFaceFactsOf(staged));
      folder_.PublishFolder(kHfFolder);
    });
    m_.huggingface = LoadMeasurement<HuggingFaceFacts>(Facts(kHfFolder));
  }
  fs::path HfFolder() const { return folder_.Path(kHfFolder); }
  std::vector<std::string> WholeFolders() const {
    return recipe_.release.huggingface ? std::vector<std::string>{kHfFolder} : std::vector<std::string>();
  }

  HuggingFaceFacts HuggingFaceFactsOf(const fs::path& staged) const {
    HuggingFaceFacts facts{std::string(Traits(ReleaseType(merged_)).name), {}};
    for (const auto& entry : fs::directory_iterator(staged)) {
      facts.files.push_back({fmt::format("{}/{}", kHfFolder, entry.path().filename().string()),
                             static_cast<std::int64_t>(entry.file_size())});
    }
    std::ranges::sort(facts.files, {}, &HuggingFaceFile::name);
    return facts;
  }

  // Everything that the release folder is to hold, by name.
  std::vector<std::string> OutputNames() const {
    std::vector<std::string> names = CardNames();
    for (const std::string& type : recipe_.quantize) names.push_back(NameOf(type));
    for (const HuggingFaceFile& file : m_.huggingface.files) names.push_back(file.name);
    names.emplace_back(kChecksumsFile);
    return names;
  }
  // Those of them that the last stage writes, without the checksums.
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
    if (recipe_.release.huggingface) inputs.files.push_back(HfFolder());
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
  EvalRecipe eval_;  // as far as the documents go
  fs::path base_;    // GGUF
  fs::path shards_, texts_, trained_, merged_;
  std::vector<fs::path> retention_;  // shards of each text of data.retention
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
