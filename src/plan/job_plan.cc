#include "plan/job_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/cancel.h"
#include "base/machine.h"
#include "base/parallel.h"
#include "benchmark/reading_time.h"
#include "benchmark/seconds.h"
#include "benchmark/training_time.h"
#include "data/passkey.h"
#include "encode/encode.h"
#include "encode/reencode.h"
#include "eval/passkey.h"
#include "eval/window.h"
#include "plan/advice.h"
#include "plan/base_model.h"
#include "plan/corpus_sample.h"
#include "plan/stage_memory.h"
#include "quantize/mix.h"
#include "quantize/quantize.h"
#include "release/job_paths.h"
#include "release/recipe_check.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kPromptsMade = 20;         // passkey prompts of a length that are looked at
constexpr double kTokenizeSeconds = 2;            // that reading the corpus may take
constexpr std::int64_t kEncodedValues = 1 << 20;  // that each type's encoder is timed on
// What a disk takes; nothing is written to find out. SSDs are faster, and files are mostly still in memory
// when they are read again.
constexpr double kDiskBytesPerSecond = 500e6;
// A program with its libraries and buffers, beside everything that is counted.
constexpr std::int64_t kProgramBytes = std::int64_t{30} << 20;

double Gib(std::int64_t bytes) { return static_cast<double>(bytes) / 0x1p30; }

class Planner {
 public:
  Planner(const Recipe& recipe, std::string_view isa, Progress& progress)
      : recipe_(recipe),
        kernels_(ChooseKernels(isa)),
        progress_(progress),
        base_(OpenBaseModel(recipe.base, progress)),
        length_(recipe.context.window > 0 ? recipe.context.window : base_.config.context),
        anonymous_(AnonymousMemoryBytes()) {}

  JobPlan Plan() {
    progress_.Start("measuring this machine", 4, "parts");
    plan_.machine = {ProcessorName(), Threads(), static_cast<std::int64_t>(MemoryBytes()),
                     static_cast<std::int64_t>(AvailableMemoryBytes()), FreeDisk()};
    plan_.power_watts = recipe_.release.power_watts;
    plan_.grid_g_per_kwh = recipe_.release.grid_g_per_kwh;
    PlanConversion();
    PlanPrepare();
    progress_.Update(1);
    PlanTrain();
    progress_.Update(2);
    reading_ = MeasureReadingTime(base_.config, base_.weights, LongestText(recipe_), kernels_);
    progress_.Update(3);
    PlanMerge();
    PlanQuantize();
    progress_.Update(4);
    PlanEvaluation("evaluate-base");
    PlanEvaluation("evaluate-result");
    for (const std::string& type : recipe_.quantize) PlanComparison(type);
    PlanSample();
    PlanRelease();
    progress_.Finish();
    Advise();
    return std::move(plan_);
  }

 private:
  std::int64_t FreeDisk() const {
    fs::path folder = fs::absolute(recipe_.release.out);
    while (!folder.empty() && !fs::exists(folder)) folder = folder.parent_path();
    std::error_code ignored;
    const fs::space_info space = fs::space(folder, ignored);
    return ignored ? 0 : static_cast<std::int64_t>(space.available);
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
    stage.memory.push_back({"tensors on their way", std::int64_t{64} << 20});
    stage.seconds = 2 * static_cast<double>(stage.disk) / kDiskBytesPerSecond;
  }

  void PlanPrepare() {
    const DataRecipe& d = recipe_.data;
    CorpusOptions options;
    options.text_field = d.text_field;
    const auto inputs = ResolveInputs(recipe_, d.inputs);
    const CorpusSample sample = SampleCorpus(inputs, options, EncoderOf(*base_.tokenizer), kTokenizeSeconds);
    std::int64_t read = 0, documents = 0;
    for (const std::int64_t n : sample.lengths) {
      read += n;
      if (n < std::max<std::int64_t>(1, d.min_tokens)) continue;
      if (d.max_tokens > 0 && n > d.max_tokens && !d.slice) continue;
      ++documents;
      kept_.push_back(n);
    }
    const double all = 1 / sample.share;
    plan_.corpus_share = sample.share;
    plan_.documents = std::llround(static_cast<double>(documents) * all);
    for (const std::int64_t n : kept_) plan_.corpus_tokens += n;
    plan_.corpus_tokens = std::llround(static_cast<double>(plan_.corpus_tokens) * all);
    StagePlan& stage = Add("prepare");
    stage.tokens = std::llround(static_cast<double>(read) * all);
    stage.disk = plan_.corpus_tokens * (base_.config.vocab_size <= 65'536 ? 2 : 4);
    stage.seconds = sample.seconds * all + static_cast<double>(stage.disk) / kDiskBytesPerSecond;
  }

  // Windows of the documents that are trained on: what an epoch holds.
  std::int64_t ExamplesPerEpoch() const {
    double examples = 0;
    for (const std::int64_t n : kept_)
      examples += recipe_.train.pack ? static_cast<double>(n) / static_cast<double>(length_)
                                     : std::ceil(static_cast<double>(n) / static_cast<double>(length_));
    return std::max<std::int64_t>(
        1, std::llround(examples / plan_.corpus_share * (1 - recipe_.data.validation)));
  }

  void PlanTrain() {
    const TrainRecipe& t = recipe_.train;
    const bool full = t.adapter == AdapterKind::kFull;
    plan_.steps = t.Steps(ExamplesPerEpoch());
    plan_.examples = plan_.steps * t.ExamplesPerStep();
    plan_.trained_parameters = TrainedParameters(base_.config, t);
    const TrainingTime time = MeasureTrainingTime(base_.config, base_.weights, t, length_, kernels_);
    plan_.training_extrapolated = time.extrapolated;
    StagePlan& stage = Add("train");
    stage.tokens = plan_.examples * length_;
    const auto steps = static_cast<double>(plan_.steps);
    const std::int64_t checkpoint = plan_.trained_parameters * 3 * 4;  // values and both moments
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
    stage.disk = 2 * checkpoint + (full ? base_.config.Parameters() * 2 : plan_.trained_parameters * 4);
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
    if (recipe_.train.adapter != AdapterKind::kFull) {
      const Tensor& q = base_.weights.layers.front().q;
      const std::int64_t rows = std::min<std::int64_t>(q.rows(), 512);
      Tensor a = Tensor::Allocate(Type::kF32, {recipe_.train.rank, q.cols()});
      Matrix b(rows, recipe_.train.rank), delta(rows, q.cols());
      const Tensor part = Tensor::Allocate(Type::kF32, {rows, q.cols()});
      const double of_rows = BestSeconds(2, [&] {
        kernels_.MatMulInputGradient(b, a, delta, Store::kSet);
        part.ToFloat(type);
      });
      std::int64_t merged = 0;
      for (const MemoryPart& part_of : MergingMemory(base_.config, recipe_.train, 1)) {
        merged = part_of.bytes;
        break;
      }
      seconds = of_rows * static_cast<double>(merged) / static_cast<double>(rows * q.cols());
    }
    stage.seconds = seconds + static_cast<double>(stage.disk) / kDiskBytesPerSecond;
  }

  // Seconds a weight, from F16 or the like to `type`, in rows of `cols`, with all threads.
  double EncodingTime(Type type, std::int64_t cols) {
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
    for (TensorInfo& tensor : tensors) {
      if (tensor.shape.size() > 1) tensor.type = base_.MergedType();
    }
    for (const std::string& name : recipe_.quantize) {
      StagePlan& stage = Add("quantize-" + name);
      stage.mapped = 0;  // pages that are done with are let go
      stage.memory.push_back({"rows being encoded", std::int64_t{32} << 20});
      for (const TypeChoice& choice : ChooseTypes(FindMix(name), tensors)) {
        const auto tensor = std::ranges::find(tensors, choice.name, &TensorInfo::name);
        stage.disk += TensorBytes(choice.type, tensor->shape);
        if (tensor->shape.size() < 2 || !CanEncode(choice.type)) continue;
        std::int64_t elements = 1;
        for (const std::int64_t n : tensor->shape) elements *= n;
        stage.seconds += static_cast<double>(elements) * EncodingTime(choice.type, choice.cols);
      }
      stage.seconds += static_cast<double>(stage.disk) / kDiskBytesPerSecond;
    }
  }

  // Reading windows of `context` of which `stride` tokens are new, until `scored` tokens are scored.
  double WindowSeconds(std::int64_t context, double windows, double scored) const {
    return windows * reading_.Read(static_cast<double>(context)) + scored * reading_.logits;
  }

  // The scored tokens that `max_tokens` and the text allow.
  double Scored(std::int64_t max_tokens, double share_of_text) const {
    const double text = EvalTokens() * share_of_text;
    return max_tokens > 0 ? std::min(static_cast<double>(max_tokens), text) : text;
  }
  double EvalTokens() const {
    // Texts of their own are not tokenised for a plan: they are taken to suffice for what is asked.
    if (!recipe_.eval.inputs.empty()) return 1e12;
    return static_cast<double>(plan_.corpus_tokens) * recipe_.data.validation;
  }

  double PasskeySeconds(std::int64_t& tokens) const {
    const PasskeyRecipe& p = recipe_.eval.passkey;
    const PasskeyOptions options{.lengths = p.lengths, .depths = p.depths, .trials = p.trials};
    const Passkey prompts(EncoderOf(*base_.tokenizer));
    const PasskeyMaker make = PasskeyPrompts(prompts, p.seed);
    double seconds = 0;
    for (const std::int64_t length : p.lengths) {
      // What a prompt shares with the one before it is not read again (eval/passkey.cc). More prompts than
      // these share as much as these do.
      const std::int64_t all = p.depths * p.trials, made = std::min(all, kPromptsMade);
      const double times = static_cast<double>(all) / static_cast<double>(made);
      std::vector<std::vector<std::int32_t>> sorted;
      for (std::int64_t i = 0; i < made; ++i)
        sorted.push_back(make(length, options.Depth(i % p.depths), i / p.depths).tokens);
      std::ranges::sort(sorted);
      std::span<const std::int32_t> before;
      for (const auto& prompt : sorted) {
        ThrowIfCancelled();
        const auto shared = std::ranges::mismatch(prompt, before).in1 - prompt.begin();
        const auto fresh = static_cast<double>(length - shared);
        seconds += times * (reading_.Read(fresh, static_cast<double>(shared)) +
                            static_cast<double>(options.max_new_tokens) *
                                (reading_.write + reading_.key * static_cast<double>(length)));
        tokens += std::llround(times * fresh);
        before = prompt;
      }
    }
    return seconds;
  }

  void PlanEvaluation(const std::string& name) {
    const EvalRecipe& e = recipe_.eval;
    StagePlan& stage = Add(name);
    stage.mapped = name == "evaluate-base" ? base_.bytes : base_.config.Parameters() * 2;
    for (MemoryPart& part : ReadingMemory(base_.config, LongestText(recipe_), 1))
      stage.memory.push_back(std::move(part));
    const bool several = e.contexts.size() > 1;
    for (const std::int64_t context : e.contexts) {
      // Of several contexts, each scores the tokens that the longest one can; of one, its first window scores
      // all.
      const double scored = Scored(e.max_tokens, 1);
      const double first = several ? static_cast<double>(e.stride) : static_cast<double>(context);
      const double windows =
          std::ceil(several ? scored / static_cast<double>(e.stride)
                            : 1 + std::max(0.0, scored - first) / static_cast<double>(e.stride));
      stage.seconds += WindowSeconds(context, windows, scored);
      stage.tokens += std::llround(windows * static_cast<double>(context));
    }
    stage.seconds += PasskeySeconds(stage.tokens);
    if (e.by_position.documents > 0) {
      const auto documents = static_cast<double>(e.by_position.documents),
                 n = static_cast<double>(e.by_position.max_tokens);
      stage.seconds += documents * (reading_.Read(n) + n * reading_.logits);
      stage.tokens += std::llround(documents * n);
    }
  }

  void PlanComparison(const std::string& type) {
    const KldRecipe& k = recipe_.eval.kld;
    StagePlan& stage = Add("compare-" + type);
    stage.mapped = base_.config.Parameters() * 2 + DiskOf("quantize-" + type);
    for (MemoryPart& part : ReadingMemory(base_.config, k.context, 2))
      stage.memory.push_back(std::move(part));
    // Half of each window is scored, by both models.
    const double scored = Scored(k.max_tokens, 0.5);
    const double windows = std::ceil(scored / (static_cast<double>(k.context) / 2));
    stage.seconds = 2 * WindowSeconds(k.context, windows, scored);
    stage.tokens = std::llround(windows * static_cast<double>(2 * k.context));
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
    stage.memory.push_back({"tensors on their way", std::int64_t{64} << 20});
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

  void Advise() {
    const std::int64_t available = plan_.machine.available_memory;
    for (const StagePlan& stage : plan_.stages) {
      if (stage.Memory() <= available) continue;
      const std::string short_of = fmt::format("{}: needs {:.1f} GiB of memory, {:.1f} GiB are available; ",
                                               stage.name, Gib(stage.Memory()), Gib(available));
      if (stage.name == "train") {
        const auto changes = ChangesForTraining(base_.config, recipe_.train, length_, Threads(),
                                                stage.memory.front().bytes, available);
        plan_.advice.push_back(short_of +
                               (changes ? "it fits with " + Describe(*changes)
                                        : "no settings make it fit: take a smaller model or more memory"));
      } else if (stage.name.starts_with("evaluate") || stage.name.starts_with("compare")) {
        const int models = stage.name.starts_with("compare") ? 2 : 1;
        const std::int64_t longest =
            LongestTextWithin(base_.config, models, available - stage.memory.front().bytes);
        plan_.advice.push_back(fmt::format("{}texts of up to {} tokens fit: lower {}", short_of, longest,
                                           models == 2 ? "eval.kld.context"
                                                       : "eval.contexts, eval.passkey.lengths and "
                                                         "eval.by_position.max_tokens"));
      } else {
        plan_.advice.push_back(short_of + "close other programs, or take a machine with more memory");
      }
    }
    if (plan_.machine.free_disk > 0 && plan_.Disk() > plan_.machine.free_disk) {
      plan_.advice.push_back(
          fmt::format("disk: needs {:.1f} GiB, {:.1f} GiB are free where release.out is; name another "
                      "release.out, or fewer "
                      "quantize.types",
                      Gib(plan_.Disk()), Gib(plan_.machine.free_disk)));
    }
  }

  const Recipe& recipe_;
  const Kernels& kernels_;
  Progress& progress_;
  const BaseModel base_;
  const std::int64_t length_;     // of an example
  const std::int64_t anonymous_;  // what the program holds before it works
  ReadingTime reading_;
  std::vector<std::int64_t> kept_;  // lengths of the documents that were read and are kept
  std::map<std::pair<Type, std::int64_t>, double> encoding_;
  JobPlan plan_;
};

}  // namespace

double JobPlan::Seconds() const {
  double seconds = 0;
  for (const StagePlan& stage : stages) seconds += stage.seconds;
  return seconds;
}

std::int64_t JobPlan::Disk() const {
  std::int64_t bytes = 0;
  for (const StagePlan& stage : stages) bytes += stage.disk;
  return bytes;
}

const StagePlan& JobPlan::Hungriest() const {
  return *std::ranges::max_element(stages, {}, &StagePlan::Memory);
}

JobPlan PlanJob(const Recipe& recipe, std::string_view isa, Progress& progress) {
  CheckRecipe(recipe);
  return Planner(recipe, isa, progress).Plan();
}

nlohmann::ordered_json ToJson(const JobPlan& plan) {
  nlohmann::ordered_json json;
  const MachineFacts& m = plan.machine;
  json["machine"] = {{"processor", m.processor},
                     {"threads", m.threads},
                     {"memory", m.memory},
                     {"available_memory", m.available_memory},
                     {"free_disk", m.free_disk}};
  json["documents"] = plan.documents;
  json["corpus_tokens"] = plan.corpus_tokens;
  json["corpus_share"] = plan.corpus_share;
  json["steps"] = plan.steps;
  json["examples"] = plan.examples;
  json["trained_parameters"] = plan.trained_parameters;
  json["training_extrapolated"] = plan.training_extrapolated;
  json["seconds"] = plan.Seconds();
  json["disk"] = plan.Disk();
  json["memory"] = plan.Hungriest().Memory();
  json["kilowatt_hours"] = plan.power_watts * plan.Seconds() / 3.6e6;
  json["stages"] = nlohmann::ordered_json::array();
  for (const StagePlan& stage : plan.stages) {
    nlohmann::ordered_json entry{{"name", stage.name},     {"seconds", stage.seconds},
                                 {"tokens", stage.tokens}, {"memory", stage.Memory()},
                                 {"mapped", stage.mapped}, {"disk", stage.disk}};
    for (const MemoryPart& part : stage.memory) entry["memory_parts"][part.what] = part.bytes;
    json["stages"].push_back(std::move(entry));
  }
  json["advice"] = plan.advice;
  return json;
}

}  // namespace longspan
