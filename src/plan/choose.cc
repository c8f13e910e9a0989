#include "plan/choose.h"

#include <fnmatch.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "benchmark/reading_time.h"
#include "benchmark/training_time.h"
#include "plan/base_model.h"
#include "plan/corpus_sample.h"
#include "release/job_paths.h"
#include "release/preparation.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr double kTokenizeSeconds = 2;
// Examples of PoSE: the paper's length (Zhu et al. 2023, section 4.1), whatever the target.
constexpr std::int64_t kExampleTokens = 2048;
constexpr std::int64_t kLeastExample = 64, kExamplesPerStep = 8;
constexpr std::int64_t kValidationExamples = 8;
constexpr std::int64_t kLeastSteps = 50, kMostSteps = 1000;  // the paper trained for 1,000
// How many seconds measuring one model may take: a share of the training time, but at least two minutes.
constexpr double kLeastMeasuring = 120, kMeasuringShare = 0.2;

std::int64_t FloorPowerOfTwo(std::int64_t n) {
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(n, 1))));
}

// A path as a glob pattern that means this path alone.
std::string LiteralPattern(const fs::path& path) {
  std::string pattern;
  for (const char c : fs::absolute(path).lexically_normal().string()) {
    if (std::string_view("*?[]\\").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

// Adapters of small models learn at higher rates.
double LearningRate(std::int64_t parameters) {
  if (parameters > 3'000'000'000) return 2e-5;
  if (parameters > 300'000'000) return 5e-5;
  return parameters > 30'000'000 ? 2e-4 : 1e-3;
}

std::string PlainName(std::string_view text) {
  std::string name;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
    if (plain && !(name.empty() && (c == '.' || c == '-')))
      name += c;
    else if (!name.empty() && name.back() != '-')
      name += '-';
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.empty() ? "model" : name.substr(0, 150);
}

std::string Window(std::int64_t tokens) {
  return tokens % 1024 == 0 ? fmt::format("{}k", tokens / 1024) : fmt::format("{}", tokens);
}

class Chooser {
 public:
  Chooser(const ChoiceRequest& request, std::string_view isa, Progress& progress)
      : request_(request),
        kernels_(ChooseKernels(isa)),
        training_kernels_(TrainingKernels(Precision::kAuto, isa)),
        progress_(progress),
        base_(OpenBaseModel(request.model, progress)) {}

  Choice Choose() {
    CheckTarget();
    ChooseBase();
    ChooseData();
    ChooseRope();
    ChooseTraining();
    ChooseTypes();
    ChooseMeasurements();
    ChooseRelease();
    CompleteRecipe(recipe());
    return std::move(choice_);
  }

 private:
  Recipe& recipe() { return choice_.recipe; }
  const Recipe& recipe() const { return choice_.recipe; }

  void Because(const std::string& key, const std::string& value, const std::string& reason) {
    choice_.comments[key] = reason;
    choice_.reasons.push_back(fmt::format("{}: {} ({})", key, value, reason));
  }

  void CheckTarget() const {
    if (request_.target > base_.config.context) return;
    Fail(ErrorKind::kBadOption, "{}: its window is {} tokens already; give --to more than that",
         request_.model.string(), base_.config.context);
  }

  // What is written must not become a document, by its folder or by a pattern.
  void CheckFolder(const std::vector<fs::path>& inputs) const {
    const auto refuse = [&](const std::string& documents) {
      Fail(ErrorKind::kBadOption,
           "{}: the recipe and all results would lie among the documents, {}; name another --out",
           request_.folder.string(), documents);
    };
    const fs::path folder = fs::weakly_canonical(request_.folder);
    for (const fs::path& input : inputs) {
      if (std::ranges::mismatch(input, folder).in1 == input.end()) refuse(input.string());
    }
    for (const std::string& pattern : recipe().data.inputs) {
      for (const fs::path& written : {recipe().file, recipe().release.out, WorkFolder(recipe())}) {
        const fs::path name = fs::absolute(written).lexically_normal();
        if (::fnmatch(pattern.c_str(), name.c_str(), FNM_PATHNAME) == 0) refuse(pattern);
      }
    }
  }

  void ChooseBase() {
    recipe().file = request_.folder / kChosenRecipe;
    recipe().release.out = request_.folder / "release";
    recipe().base = fs::absolute(request_.model).lexically_normal();
    if (!recipe().base.has_filename()) recipe().base = recipe().base.parent_path();
    recipe().base_id =
        PlainName(base_.is_folder ? recipe().base.filename().string() : recipe().base.stem().string());
    recipe().context.target = request_.target;
  }

  void ChooseData() {
    DataRecipe& data = recipe().data;
    for (const std::string& input : request_.documents)
      data.inputs.push_back(fs::exists(input) ? LiteralPattern(input) : fs::absolute(input).string());
    const std::vector<fs::path> inputs = ResolveInputs(recipe(), data.inputs);
    CheckFolder(inputs);
    sample_ = SampleCorpus(inputs, {}, EncoderOf(*base_.tokenizer), kTokenizeSeconds);
    const CorpusSample in_order = sample_;
    std::erase_if(sample_.lengths, [](std::int64_t n) { return n < kLeastExample; });
    std::ranges::sort(sample_.lengths);
    const std::int64_t documents = std::ssize(sample_.lengths);
    if (documents < 2) {
      Fail(ErrorKind::kBadOption,
           "{}: {} of at least {} tokens; give two or more, because one is held out to measure on",
           fmt::join(request_.documents, ", "), documents == 1 ? "one document" : "no document",
           kLeastExample);
    }
    // The window: most documents should fill it, and two of them must.
    const std::int64_t typical = sample_.lengths[std::min(documents / 2, documents - 2)];
    window_ = std::min({kExampleTokens, FloorPowerOfTwo(base_.config.context), FloorPowerOfTwo(typical)});
    window_ = std::max(window_, kLeastExample);
    recipe().context.window = window_;
    Because(
        "context.window", fmt::format("{}", window_),
        fmt::format(
            "PoSE needs examples far shorter than the target; half of the documents have {} tokens or more",
            typical));
    data.min_tokens = window_;
    Because("data.min_tokens", fmt::format("{}", window_),
            "documents that do not fill an example are left out");
    const auto all = static_cast<double>(documents) / sample_.share;
    data.validation = std::clamp(std::max(0.02, 2.0 / all), 0.0, 0.5);
    data.validation = std::ceil(data.validation * 100) / 100;
    Because("data.validation", fmt::format("{:g}", data.validation), "held out, to measure on");
    // What is read later holds out more documents, and none of these fewer; but for a single one, which may
    // be held out only because no other document is.
    longest_text_ = window_;
    const bool eos = EncoderOf(*base_.tokenizer).eos >= 0;
    const std::vector<std::int64_t> held_out =
        Prepared(in_order.lengths, in_order.hashes, PreparationOf(data), eos).held_out;
    if (sample_.whole() || held_out.size() > 1) {
      for (const std::int64_t n : held_out) longest_text_ = std::max(longest_text_, n);
    }
  }

  void ChooseRope() {
    RopeRecipe& rope = recipe().rope;
    const double factor = static_cast<double>(request_.target) / static_cast<double>(base_.config.context);
    if (base_.config.rope_scaling.kind == RopeScaling::Kind::kNone) {
      rope.scaling = RopeScaling::Kind::kYarn;
      Because("rope.scaling", "yarn",
              fmt::format("the base has none, and the window grows {:g} times", factor));
      return;
    }
    // A base with RoPE scaling keeps it. A larger theta then stretches the scaled frequencies (bloc97 2023).
    const auto d = static_cast<double>(base_.config.head_dim);
    rope.theta = std::round(base_.config.rope_theta * std::pow(factor, d / std::max(d - 2, 1.0)));
    Because(
        "rope.theta", fmt::format("{:g}", *rope.theta),
        fmt::format(
            "the base has {} scaling, which stays; theta grows so that the lowest frequency turns {:g} times "
            "slower",
            Name(base_.config.rope_scaling.kind), factor));
  }

  void ChooseTraining() {
    TrainRecipe& train = recipe().train;
    train.adapter = AdapterKind::kRsLora;
    train.rank = std::min<std::int64_t>(base_.config.dim >= 2048 ? 64 : 32, base_.config.dim);
    train.alpha = static_cast<double>(train.rank);
    Because("train.rank", fmt::format("{}", train.rank),
            "rank-stabilised, so that a larger one needs no other rate");
    if (base_.config.dim < 1024) {
      train.targets.assign(kProjections.begin(), kProjections.end());
      Because("train.targets", fmt::format("[{}]", fmt::join(train.targets, ", ")),
              "all projections: the model is small");
    }
    train.learning_rate = LearningRate(base_.config.Parameters());
    Because("train.learning_rate", fmt::format("{:g}", train.learning_rate), "by the model's size");
    train.batch_size = 1;
    train.gradient_accumulation = kExamplesPerStep;
    double examples = 0;
    for (const std::int64_t n : sample_.lengths)
      examples += n < window_ ? 0 : std::ceil(static_cast<double>(n) / static_cast<double>(window_));
    examples = examples / sample_.share * (1 - recipe().data.validation);
    train.steps = request_.steps;
    if (train.steps == 0) {
      train.steps = std::clamp(std::llround(examples / static_cast<double>(kExamplesPerStep)),
                               static_cast<long long>(kLeastSteps), static_cast<long long>(kMostSteps));
      Because("train.steps", fmt::format("{}", train.steps),
              fmt::format("about {:.3g} epochs of {} examples a step",
                          static_cast<double>(train.steps * kExamplesPerStep) / std::max(examples, 1.0),
                          kExamplesPerStep));
    } else {
      Because("train.steps", fmt::format("{}", train.steps), "as asked for");
    }
    train.warmup = std::min<std::int64_t>(20, train.steps / 10);
    train.eval_examples = kValidationExamples;
    train.eval_every = std::max<std::int64_t>(1, train.steps / 10);
    recipe().pose.enabled = true;
    recipe().pose.options.unmodified_share = 0.1;
    recipe().pose.options.skip_text = true;
    Because("pose.unmodified", "0.1", "a tenth of the examples keeps plain positions, for short texts");
    training_ = MeasureTrainingTime(base_.config, base_.weights, train, window_, training_kernels_);
  }

  void ChooseTypes() {
    recipe().quantize = request_.types;
    if (!recipe().quantize.empty()) return;
    const Type merged = base_.MergedType();
    recipe().quantize = {std::string(Traits(merged).name), "Q8_0", "Q4_K_M"};
    Because("quantize.types", fmt::format("[{}]", fmt::join(recipe().quantize, ", ")),
            "as merged, at half the size with no loss that shows, and what most people run");
  }

  // Chooses lengths that can be measured in the time allowed.
  void ChooseMeasurements() {
    EvalRecipe& eval = recipe().eval;
    const std::int64_t target = request_.target, native = base_.config.context;
    const ReadingTime reading = MeasureReadingTime(base_.config, base_.weights, target, kernels_);
    const double allowed =
        std::max(kLeastMeasuring, kMeasuringShare * static_cast<double>(recipe().train.steps) *
                                      training_.Step(recipe().train));
    const auto read = [&](std::int64_t n) { return reading.Read(static_cast<double>(n)); };
    // Held-out documents limit perplexity, time limits everything.
    const std::int64_t longest = FloorPowerOfTwo(longest_text_);
    std::int64_t most = std::min(target, longest);
    while (most > kLeastExample && read(most) > allowed / 6) most /= 2;
    eval.contexts.clear();
    for (const std::int64_t n : {std::min(native, most), most}) {
      if (eval.contexts.empty() || eval.contexts.back() != n) eval.contexts.push_back(n);
    }
    eval.stride = std::max<std::int64_t>(1, eval.contexts.front() / 2);
    eval.max_tokens = std::max<std::int64_t>(
        eval.stride, FloorPowerOfTwo(static_cast<std::int64_t>(allowed / 3 / std::max(read(most), 1e-9) *
                                                               static_cast<double>(eval.stride))));
    eval.max_tokens = std::min<std::int64_t>(eval.max_tokens, 16'384);
    Because("eval.contexts", fmt::format("[{}]", fmt::join(eval.contexts, ", ")),
            fmt::format("up to {} tokens, as far as the documents and {:.0f} s of measuring reach", most,
                        allowed));
    std::int64_t passkey = target;
    while (passkey > 256 && 2 * read(passkey) > allowed / 3) passkey /= 2;
    eval.passkey.lengths.clear();
    for (const std::int64_t n : {std::min(native, passkey), passkey}) {
      if (eval.passkey.lengths.empty() || eval.passkey.lengths.back() != n) eval.passkey.lengths.push_back(n);
    }
    eval.passkey.depths = passkey == target && 5 * read(passkey) <= allowed / 3 ? 5 : 2;
    eval.passkey.trials = 1;
    std::string reach = "the target and the base's window";
    if (passkey < target) {
      reach =
          fmt::format("the target would take {:.0f} minutes a model here; raise it where that is worth it",
                      2 * read(target) / 60);
    }
    Because("eval.passkey.lengths", fmt::format("[{}]", fmt::join(eval.passkey.lengths, ", ")), reach);
    eval.kld.context = std::min<std::int64_t>(most, 2048);
    eval.kld.max_tokens = std::min<std::int64_t>(eval.max_tokens, 4096);
    eval.by_position.documents = read(most) <= allowed / 6 ? 1 : 0;
    eval.by_position.max_tokens = most;
    Because("eval.kld.context", fmt::format("{}", eval.kld.context), "enough to tell types apart");
  }

  void ChooseRelease() {
    ReleaseRecipe& release = recipe().release;
    release.name = fmt::format("{}-{}", recipe().base_id, Window(request_.target));
    release.license = "other";
    Because("release.license", "other", "name the base's own licence here: a stretched model keeps it");
  }

  const ChoiceRequest& request_;
  const Kernels &kernels_, &training_kernels_;
  Progress& progress_;
  const BaseModel base_;
  Choice choice_;
  CorpusSample sample_;
  TrainingTime training_;
  std::int64_t window_ = 0, longest_text_ = 0;
};

}  // namespace

Choice ChooseRecipe(const ChoiceRequest& request, std::string_view isa, Progress& progress) {
  return Chooser(request, isa, progress).Choose();
}

void CheckSameRequest(const Recipe& recipe, const ChoiceRequest& request) {
  const auto differs = [&](std::string_view what, const std::string& there, const std::string& asked) {
    Fail(ErrorKind::kBadOption,
         "{}: made for {} {}, not {}; go on with it by 'longspan extend {}', or name another --out",
         recipe.file.string(), what, there, asked, recipe.file.string());
  };
  std::error_code ignored;
  if (!fs::equivalent(recipe.base, request.model, ignored))
    differs("the model", recipe.base.string(), request.model.string());
  if (recipe.context.target != request.target)
    differs("a window of", fmt::format("{}", recipe.context.target), fmt::format("{}", request.target));
  std::vector<std::string> inputs;
  for (const std::string& input : request.documents)
    inputs.push_back(fs::exists(input) ? LiteralPattern(input) : fs::absolute(input).string());
  if (ResolveInputs(recipe, recipe.data.inputs) != ResolveInputs(recipe, inputs))
    differs("documents", fmt::format("{}", fmt::join(recipe.data.inputs, ", ")),
            fmt::format("{}", fmt::join(request.documents, ", ")));
  if (request.steps > 0 && recipe.train.steps != request.steps)
    differs("steps:", fmt::format("{}", recipe.train.steps), fmt::format("{}", request.steps));
}

}  // namespace longspan
