#include "plan/job_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/machine.h"
#include "base/parallel.h"
#include "benchmark/reading_time.h"
#include "benchmark/seconds.h"
#include "benchmark/training_time.h"
#include "convert/tensor_stream.h"
#include "data/examples.h"
#include "encode/encode.h"
#include "encode/reencode.h"
#include "plan/advice.h"
#include "plan/base_model.h"
#include "plan/corpus_sample.h"
#include "plan/measuring.h"
#include "plan/stage_memory.h"
#include "quantize/mix.h"
#include "quantize/quantize.h"
#include "release/eval_texts.h"
#include "release/evaluate.h"
#include "release/job_paths.h"
#include "release/preparation.h"
#include "release/recipe/recipe_check.h"
#include "release/stages.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr double kTokenizeSeconds = 2;            // that reading the corpus may take
constexpr std::int64_t kEncodedValues = 1 << 20;  // that each type's encoder is timed on
// The assumed speed of a disk, because nothing is written to measure it. SSDs are faster, and files are
// mostly still in memory when they are read again.
constexpr double kDiskBytesPerSecond = 500e6;
// The program with its libraries and buffers, in addition to everything that is counted.
constexpr std::int64_t kProgramBytes = std::int64_t{30} << 20;

class Planner {
 public:
  // `isa` is for measuring.
  Planner(const Recipe& recipe, std::string_view isa, Progress& progress)
      : recipe_(recipe),
        kernels_(ChooseKernels(isa)),
        training_kernels_(TrainingKernels(recipe.train.precision, isa, recipe.file.string())),
        progress_(progress),
        base_(OpenBaseModel(recipe.base, progress)),
        encoder_(EncoderOf(*base_.tokenizer)),
        eval_(recipe.eval),
        length_(recipe.context.window > 0 ? recipe.context.window : base_.config.context),
        anonymous_(AnonymousMemoryBytes()) {}

  JobPlan Plan() {
    progress_.Start("measuring this machine", 4, "parts");
    plan_.machine = Machine();
    plan_.power_watts = recipe_.release.power_watts;
    plan_.grid_g_per_kwh = recipe_.release.grid_g_per_kwh;
    PlanConversion();
    PlanPrepare();
    progress_.Update(1);
    PlanTrain();
    progress_.Update(2);
    reading_ = MeasureReadingTime(base_.config, base_.weights, LongestText(eval_), kernels_);
    progress_.Update(3);
    PlanMerge();
    PlanQuantize();
    progress_.Update(4);
    const Reading evaluation = ReadingOfEvaluation(eval_, texts_, encoder_, reading_),
                  comparison = ReadingOfComparison(eval_.kld, texts_, encoder_.bos >= 0, reading_);
    PlanEvaluations(evaluation);
    for (const std::string& type : recipe_.quantize) PlanComparison(type, comparison);
    PlanSample();
    PlanRelease();
    progress_.Finish();
    plan_.shortages = FindShortages(plan_, base_.config, recipe_.train, length_);
    return std::move(plan_);
  }

  // For PlanRest. `own` bytes of the disk are the job's own already.
  JobPlan PlanWithoutTime(const std::set<std::string>& done, std::int64_t own) {
    timed_ = false;
    plan_.machine = Machine();
    if (plan_.machine.free_disk >= 0) plan_.machine.free_disk += own;
    // Otherwise it follows from the documents.
    if (!recipe_.places.Given("eval.by_position.max_tokens")) eval_.by_position.documents = 0;
    PlanConversion();
    PlanTrain();
    PlanMerge();
    PlanQuantize();
    PlanEvaluations({});
    for (const std::string& type : recipe_.quantize) PlanComparison(type, {});
    PlanSample();
    PlanRelease();
    std::erase_if(plan_.stages, [&](const StagePlan& stage) { return done.contains(stage.name); });
    plan_.shortages = FindShortages(plan_, base_.config, recipe_.train, length_);
    return std::move(plan_);
  }

 private:
  MachineFacts Machine() const {
    return {ProcessorName(), Threads(), static_cast<std::int64_t>(MemoryBytes()),
            static_cast<std::int64_t>(AvailableMemoryBytes()), FreeDisk()};
  }

  std::int64_t FreeDisk() const {
    fs::path folder = fs::absolute(recipe_.release.out);
    while (!folder.empty() && !fs::exists(folder)) folder = folder.parent_path();
    std::error_code ignored;
    const fs::space_info space = fs::space(folder, ignored);
    return ignored ? -1 : static_cast<std::int64_t>(space.available);
  }

  StagePlan& Add(std::string name) {
    StagePlan& stage = plan_.stages.emplace_back();
    stage.name = std::move(name);
    stage.memory.push_back({"the program and the vocabulary", kProgramBytes + anonymous_});
    return stage;
  }

  // A Hugging Face folder becomes a GGUF file first.
  void PlanConversion() {
    if (!base_.is_folder) return;
    StagePlan& stage = Add("convert");
    stage.disk = base_.bytes;
    stage.memory.push_back({"tensors on their way", 2 * kStreamPiece});
    stage.seconds = 2 * static_cast<double>(stage.disk) / kDiskBytesPerSecond;
  }

  void PlanPrepare() {
    const PrepareOptions options = PreparationOf(recipe_.data);
    const CorpusSample sample =
        SampleCorpus(ResolveInputs(recipe_, recipe_.data.inputs), options.corpus, encoder_, kTokenizeSeconds);
    prepared_ = Prepared(sample.lengths, sample.hashes, options, encoder_.eos >= 0);
    const double all = 1 / sample.share;
    const auto read = std::reduce(sample.lengths.begin(), sample.lengths.end(), std::int64_t{0});
    plan_.corpus_share = sample.share;
    plan_.documents = std::llround(static_cast<double>(prepared_.documents) * all);
    plan_.corpus_tokens = std::llround(static_cast<double>(prepared_.tokens) * all);
    StagePlan& stage = Add("prepare");
    stage.tokens = std::llround(static_cast<double>(read) * all);
    stage.disk = plan_.corpus_tokens * (base_.config.vocab_size <= 65'536 ? 2 : 4);
    stage.seconds = sample.seconds * all + static_cast<double>(stage.disk) / kDiskBytesPerSecond;
    FindTexts(sample);
  }

  // The documents held out, or texts of their own.
  void FindTexts(const CorpusSample& sample) {
    if (recipe_.eval.inputs.empty()) {
      texts_.tokens = static_cast<double>(plan_.corpus_tokens) * recipe_.data.validation;
      if (sample.whole()) texts_.lengths = prepared_.held_out;
    } else {
      texts_ = TextsOf(recipe_.eval.inputs, "eval.inputs");
    }
    if (texts_.lengths)
      eval_ = EvalWithin(recipe_, texts_.lengths->empty() ? 0 : std::ranges::max(*texts_.lengths));
    for (std::size_t i = 0; i < recipe_.data.retention.size(); ++i) {
      const KnownTexts& text =
          retention_.emplace_back(TextsOf({recipe_.data.retention[i]}, "data.retention"));
      if (text.lengths)
        CheckRetentionText(recipe_, i, text.lengths->empty() ? 0 : std::ranges::max(*text.lengths));
    }
  }

  KnownTexts TextsOf(const std::vector<std::string>& inputs, std::string_view key) const {
    PrepareOptions options;
    options.corpus.text_field = recipe_.data.text_field;
    const CorpusSample sample =
        SampleCorpus(ResolveInputs(recipe_, inputs, key), options.corpus, encoder_, kTokenizeSeconds);
    const PreparedLengths lengths = Prepared(sample.lengths, sample.hashes, options, false);
    KnownTexts texts{{}, static_cast<double>(lengths.tokens) / sample.share};
    if (sample.whole()) texts.lengths = lengths.train;
    return texts;
  }

  // Windows of the documents that are trained on: what an epoch holds.
  std::int64_t ExamplesInEpoch() const {
    ExampleOptions options;
    options.length = length_;
    options.pack = recipe_.train.pack;
    const std::int64_t read = ExamplesPerEpoch(prepared_.train, options, encoder_.bos >= 0);
    return std::max<std::int64_t>(1, std::llround(static_cast<double>(read) / plan_.corpus_share));
  }

  void PlanTrain() {
    const TrainRecipe& t = recipe_.train;
    const bool full = t.adapter == AdapterKind::kFull;
    plan_.trained_parameters = TrainedParameters(base_.config, t);
    TrainingTime time;
    if (timed_) {
      plan_.steps = t.Steps(ExamplesInEpoch());
      plan_.examples = plan_.steps * t.ExamplesPerStep();
      time = MeasureTrainingTime(base_.config, base_.weights, t, length_, training_kernels_);
    }
    plan_.training_extrapolated = time.extrapolated;
    StagePlan& stage = Add("train");
    stage.tokens = static_cast<std::int64_t>(
        std::min(static_cast<double>(plan_.examples) * static_cast<double>(length_), 9e18));
    const auto steps = static_cast<double>(plan_.steps);
    const std::int64_t checkpoint = plan_.trained_parameters * 4 + MomentBytes(base_.config, t);
    stage.seconds = steps * time.Step(t);
    if (t.eval_examples > 0 && recipe_.data.validation > 0) {
      const double measurements = std::ceil(steps / static_cast<double>(t.eval_every));
      const double batches =
          std::ceil(static_cast<double>(t.eval_examples) / static_cast<double>(t.batch_size));
      stage.seconds += measurements * batches * time.forward;
    }
    double saves = steps / static_cast<double>(t.checkpoint_every);
    if (t.checkpoint_minutes > 0) saves = std::max(saves, stage.seconds / (60 * t.checkpoint_minutes));
    stage.seconds += std::ceil(saves) * static_cast<double>(checkpoint) / kDiskBytesPerSecond;
    stage.mapped = full ? 0 : base_.bytes;
    for (MemoryPart& part : TrainingMemory(base_.config, t, length_, Threads()))
      stage.memory.push_back(std::move(part));
    stage.removed = (t.checkpoints_kept + 1) * checkpoint;  // a new one is whole before the oldest one goes
    stage.disk = stage.removed + (full ? base_.config.Parameters() * 2 : plan_.trained_parameters * 4);
  }

  void PlanMerge() {
    const Type type = base_.MergedType();
    const std::int64_t weight_bytes = type == Type::kF32 ? 4 : 2;
    StagePlan& stage = Add("merge");
    stage.mapped = base_.bytes;
    stage.disk = base_.config.Parameters() * weight_bytes;
    for (MemoryPart& part : MergingMemory(base_.config, recipe_.train, weight_bytes))
      stage.memory.push_back(std::move(part));
    // Each merged matrix is a product of rank `rank`, decoded and rounded: time it on a few rows of one.
    double seconds = 0;
    if (timed_ && recipe_.train.adapter != AdapterKind::kFull) {
      const Tensor& q = base_.weights.layers.front().q;
      const std::int64_t rows = std::min<std::int64_t>(q.rows(), 512);
      Tensor a = Tensor::Allocate(Type::kF32, {recipe_.train.rank, q.cols()});
      Matrix b(rows, recipe_.train.rank), delta(rows, q.cols());
      const Tensor part = Tensor::Allocate(Type::kF32, {rows, q.cols()});
      const double of_rows = BestSeconds(2, [&] {
        kernels_.MatMulInputGradient(b, a, delta, Store::kSet);
        part.ToFloat(type);
      });
      const std::int64_t merged = MergingMemory(base_.config, recipe_.train, 1).front().bytes;
      seconds = of_rows * static_cast<double>(merged) / static_cast<double>(rows * q.cols());
    }
    stage.seconds = seconds + static_cast<double>(stage.disk) / kDiskBytesPerSecond;
  }

  // The seconds to encode one weight as `type`, in rows of `cols`, with all threads.
  double EncodingTime(Type type, std::int64_t cols) {
    if (!timed_) return 0;
    const auto known = encoding_.find({type, cols});
    if (known != encoding_.end()) return known->second;
    const std::int64_t rows = std::max<std::int64_t>(kEncodedValues / cols, 1);
    const Tensor from = Tensor::Allocate(base_.MergedType(), {rows, cols});
    Tensor to = Tensor::Allocate(type, {rows, cols});
    const double seconds = BestSeconds(2, [&] {
      [[maybe_unused]] const EncodingError error =
          Reencode(from.type(), from.bytes(), type, to.mutable_bytes(), rows, cols);
    });
    return encoding_[{type, cols}] = seconds / static_cast<double>(rows * cols);
  }

  void PlanQuantize() {
    std::vector<TensorInfo> tensors = base_.tensors;
    std::map<std::string_view, const std::vector<std::int64_t>*> shapes;
    for (TensorInfo& tensor : tensors) {
      if (tensor.shape.size() > 1) tensor.type = base_.MergedType();
      shapes[tensor.name] = &tensor.shape;
    }
    for (const std::string& name : recipe_.quantize) {
      StagePlan& stage = Add("quantize-" + name);
      stage.mapped = 0;  // pages are given back once they are read
      stage.memory.push_back({"rows being encoded", std::int64_t{32} << 20});
      for (const TypeChoice& choice : ChooseTypes(FindMix(name), tensors)) {
        const std::vector<std::int64_t>& shape = *shapes.at(choice.name);
        stage.disk += TensorBytes(choice.type, shape);
        if (shape.size() < 2 || !CanEncode(choice.type)) continue;
        std::int64_t elements = 1;
        for (const std::int64_t n : shape) elements *= n;
        stage.seconds += static_cast<double>(elements) * EncodingTime(choice.type, choice.cols);
      }
      stage.seconds += static_cast<double>(stage.disk) / kDiskBytesPerSecond;
    }
  }

  void PlanEvaluations(const Reading& reading) {
    EvalRecipe retention = eval_;
    retention.contexts = RetentionContexts(recipe_, base_.config.context);
    Reading base = reading, result = reading;
    for (const KnownTexts& text : retention_) {
      base += ReadingOfPerplexity(retention, 1, text, encoder_.bos >= 0, reading_);
      result += ReadingOfPerplexity(retention, retention.contexts.size(), text, encoder_.bos >= 0, reading_);
    }
    PlanEvaluation("evaluate-base", base_.bytes, base);
    if (HasControl(recipe_)) PlanEvaluation("evaluate-scaled", base_.bytes, result);
    PlanEvaluation("evaluate-result", base_.config.Parameters() * 2, result);
  }

  void PlanEvaluation(const std::string& name, std::int64_t mapped, const Reading& reading) {
    StagePlan& stage = Add(name);
    stage.mapped = mapped;
    for (MemoryPart& part : ReadingMemory(base_.config, LongestText(eval_), 1))
      stage.memory.push_back(std::move(part));
    stage.tokens = reading.tokens;
    stage.seconds = reading.seconds;
  }

  void PlanComparison(const std::string& type, const Reading& reading) {
    StagePlan& stage = Add("compare-" + type);
    stage.mapped = base_.config.Parameters() * 2 + DiskOf("quantize-" + type);
    for (MemoryPart& part : ReadingMemory(base_.config, eval_.kld.context, 2))
      stage.memory.push_back(std::move(part));
    stage.tokens = reading.tokens;
    stage.seconds = reading.seconds;
  }

  std::int64_t DiskOf(std::string_view name) const {
    const auto found = std::ranges::find(plan_.stages, name, &StagePlan::name);
    return found == plan_.stages.end() ? 0 : found->disk;
  }

  // The release can hold the merged model as a Hugging Face folder, too.
  void PlanRelease() {
    if (!recipe_.release.huggingface) return;
    StagePlan& stage = Add("huggingface");
    stage.disk = base_.config.Parameters() * (base_.MergedType() == Type::kF32 ? 4 : 2);
    stage.memory.push_back({"tensors on their way", 2 * kStreamPiece});
    stage.seconds = 2 * static_cast<double>(stage.disk) / kDiskBytesPerSecond;
  }

  void PlanSample() {
    const SampleRecipe& s = recipe_.release.sample;
    if (s.prompt.empty()) return;
    StagePlan& stage = Add("sample");
    stage.tokens = s.tokens;
    stage.mapped = base_.config.Parameters() * 2;
    stage.seconds = static_cast<double>(s.tokens) * reading_.write;
    for (MemoryPart& part : ReadingMemory(base_.config, s.tokens + 512, 1))
      stage.memory.push_back(std::move(part));
  }

  const Recipe& recipe_;
  const Kernels &kernels_, &training_kernels_;
  Progress& progress_;
  const BaseModel base_;
  const TextEncoder encoder_;
  EvalRecipe eval_;               // as far as the documents go
  const std::int64_t length_;     // of an example
  const std::int64_t anonymous_;  // what the program holds before it works
  bool timed_ = true;
  ReadingTime reading_;
  PreparedLengths prepared_;  // of the documents that were read
  KnownTexts texts_;
  std::vector<KnownTexts> retention_;
  std::map<std::pair<Type, std::int64_t>, double> encoding_;
  JobPlan plan_;
};

std::int64_t BytesBelow(const fs::path& folder) {
  std::int64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code unknown;
    if (it->is_regular_file(unknown)) bytes += static_cast<std::int64_t>(it->file_size(unknown));
  }
  return bytes;
}

}  // namespace

JobPlan PlanRest(const Recipe& recipe, Progress& progress) {
  const fs::path work = WorkFolder(recipe);
  const std::set<std::string> done = StagesDone(work);
  if (done.contains("release")) return {};
  CheckRecipe(recipe);
  return Planner(recipe, "auto", progress).PlanWithoutTime(done, BytesBelow(work / "scratch"));
}

JobPlan PlanJob(const Recipe& recipe, std::string_view isa, Progress& progress) {
  CheckRecipe(recipe);
  return Planner(recipe, isa, progress).Plan();
}

}  // namespace longspan
