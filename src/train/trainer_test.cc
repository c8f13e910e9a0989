#include "train/trainer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <new>

#include "base/cancel.h"
#include "base/file.h"
#include "base/parallel.h"
#include "train/testing/toy.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

LlamaConfig Config() { return ToyConfig(); }

Network MakeNetwork(const TrainOptions& options) {
  return Network(Config(), RandomWeights(Config(), 4), options, ChooseKernels("auto"));
}

struct Outcome {
  std::vector<float> values;
  TrainLog log;
};

Outcome TrainAlone(const TrainOptions& options, const std::filesystem::path& folder = {}) {
  Network network = MakeNetwork(options);
  const TrainState state = Train(network, ToyTask(Config().vocab_size), options, "toy", folder, NoProgress());
  EXPECT_EQ(state.step, options.steps);
  return {AllValues(network), state.log};
}

// A log without the clock.
std::string Timeless(TrainLog log) {
  for (TrainLogPoint& point : log.points) point.seconds = 0;
  return log.ToJsonLines();
}

// Presses Ctrl-C when this much work is done, usually in the middle of a step.
class MidStepInterrupter : public Progress {
 public:
  explicit MidStepInterrupter(double share) : share_(share) {}
  ~MidStepInterrupter() override { ClearCancel(); }
  void Work(std::int64_t done, std::int64_t total) override {
    if (CancelRequested()) ++heard_after_;
    if (static_cast<double>(done) >= share_ * static_cast<double>(total)) RequestCancel();
  }
  void Update(std::int64_t done, std::string_view) override { steps_ = done; }
  int heard_after() const { return heard_after_; }
  std::int64_t steps() const { return steps_; }

 private:
  double share_;
  int heard_after_ = 0;
  std::int64_t steps_ = 0;
};

// Presses Ctrl-C when step `at` is done.
class Interrupter : public Progress {
 public:
  explicit Interrupter(std::int64_t at) : at_(at) {}
  ~Interrupter() override { ClearCancel(); }
  void Update(std::int64_t done, std::string_view) override {
    if (done == at_) RequestCancel();
  }

 private:
  std::int64_t at_;
};

void Interrupt(const TrainOptions& options, std::int64_t step, const std::filesystem::path& folder) {
  Network network = MakeNetwork(options);
  Interrupter interrupter(step);
  EXPECT_EQ(
      KindOf([&] { Train(network, ToyTask(Config().vocab_size), options, "toy", folder, interrupter); }),
      ErrorKind::kCancelled);
}

TrainOptions WithEverything(AdapterKind kind) {
  TrainOptions options = ToyOptions(kind);
  options.dropout = kind == AdapterKind::kFull ? 0 : 0.2;
  options.gradient_accumulation = 2;
  options.weight_decay = 0.1;
  options.warmup = 3;
  options.eval_every = 2;
  options.checkpoint_every = 3;
  return options;
}

TEST(Trainer, ResumesBitForBit) {
  for (const AdapterKind kind : {AdapterKind::kFull, AdapterKind::kRsLora}) {
    TrainOptions options = WithEverything(kind);
    if (kind == AdapterKind::kRsLora) {
      options.optimizer = OptimizerKind::kAdamW8Bit;
      options.rank = 128;  // so that its moments are large enough for bytes
    }
    const Outcome straight = TrainAlone(options);
    ASSERT_EQ(straight.log.points.size(), 8u);
    for (const std::int64_t stop : {1, 3, 7, 8}) {  // the last: Ctrl-C when only the last message is missing
      const TestFolder folder;
      Interrupt(options, stop, folder.path());
      EXPECT_TRUE(std::filesystem::exists(folder / "checkpoint.gguf"));
      const Outcome resumed = TrainAlone(options, folder.path());
      EXPECT_EQ(resumed.values, straight.values) << stop;
      EXPECT_EQ(Timeless(resumed.log), Timeless(straight.log)) << stop;
      EXPECT_EQ(ReadFile(folder / "log.jsonl"), resumed.log.ToJsonLines());
    }
  }
}

TEST(Trainer, AStepThatCtrlCInterruptsIsThrownAway) {
  for (const AdapterKind kind : {AdapterKind::kFull, AdapterKind::kRsLora}) {
    TrainOptions options = WithEverything(kind);
    options.recompute = kind == AdapterKind::kFull;
    options.checkpoint_every = 1000;
    const Outcome straight = TrainAlone(options);
    for (const double share : {0.02, 0.3, 0.31, 0.33, 0.35, 0.37, 0.39, 0.6, 0.75}) {
      const TestFolder folder;
      Network network = MakeNetwork(options);
      MidStepInterrupter interrupter(share);
      const TrainData data = ToyTask(Config().vocab_size);
      const std::string message =
          ErrorOf([&] { Train(network, data, options, "toy", folder.path(), interrupter); });
      EXPECT_THAT(message, HasSubstr("interrupted at step"));
      EXPECT_LE(interrupter.heard_after(), 1) << "a layer at most";
      if (share < 0.5) {
        EXPECT_LT(interrupter.steps(), options.steps);
      }
      ClearCancel();
      // The same network goes on as well as a new one.
      const Outcome resumed = TrainAlone(options, folder.path());
      EXPECT_EQ(resumed.values, straight.values) << share;
      EXPECT_EQ(Timeless(resumed.log), Timeless(straight.log)) << share;
      Train(network, data, options, "toy", folder.path(), NoProgress());
      EXPECT_EQ(AllValues(network), straight.values) << share;
    }
  }
}

// A step that is interrupted in its validation is complete. Its loss is measured when the run goes on.
TEST(Trainer, AnInterruptedValidationIsMadeUpFor) {
  TrainOptions options = WithEverything(AdapterKind::kRsLora);
  options.steps = options.eval_every = 1;
  const Outcome straight = TrainAlone(options);
  ASSERT_TRUE(straight.log.points.back().validation_loss.has_value());
  const TestFolder folder;
  Network network = MakeNetwork(options);
  const Batch step = ToyTask(Config().vocab_size).examples(0, 2);
  const std::int64_t training = options.gradient_accumulation * network.TrainWork(step.size());
  class AfterTraining : public Progress {
   public:
    explicit AfterTraining(std::int64_t work) : work_(work) {}
    ~AfterTraining() override { ClearCancel(); }
    void Work(std::int64_t done, std::int64_t) override {
      if (done > work_) RequestCancel();
    }

   private:
    std::int64_t work_;
  } interrupter(training);
  EXPECT_THAT(ErrorOf([&] {
                Train(network, ToyTask(Config().vocab_size), options, "toy", folder.path(), interrupter);
              }),
              HasSubstr("interrupted at step 1"));
  ClearCancel();
  for (int i = 0; i < 2; ++i) {
    const Outcome resumed = TrainAlone(options, folder.path());
    EXPECT_EQ(Timeless(resumed.log), Timeless(straight.log));
    EXPECT_EQ(ReadFile(folder / "log.jsonl"), resumed.log.ToJsonLines());
  }
}

// The work from which the time left is computed.
TEST(Trainer, AllWorkIsCounted) {
  class Listener : public Progress {
   public:
    void Start(std::string_view, std::int64_t, std::string_view) override { seen = {}; }
    void Work(std::int64_t done, std::int64_t of) override {
      EXPECT_TRUE(total == 0 || total == of);
      EXPECT_TRUE(seen.empty() || done >= seen.back());
      total = of;
      seen.push_back(done);
    }
    std::vector<std::int64_t> seen;
    std::int64_t total = 0;
  };
  for (const AdapterKind kind : {AdapterKind::kFull, AdapterKind::kLora}) {
    const TrainOptions options = WithEverything(kind);
    const TestFolder folder;
    Network network = MakeNetwork(options);
    Listener listener;
    Train(network, ToyTask(Config().vocab_size), options, "toy", folder.path(), listener);
    EXPECT_EQ(listener.seen.front(), 0);
    EXPECT_EQ(listener.seen.back(), listener.total);
    // Forward, again, and back through each layer for each batch of each step, and more for heads and
    // validation.
    const std::int64_t layers = Config().layers;
    EXPECT_GE(std::ssize(listener.seen), options.steps * options.gradient_accumulation * 3 * layers);
    // Steps come to their ends where the plan says, so nothing was left out or counted twice.
    const std::int64_t training = options.steps * options.gradient_accumulation * network.TrainWork(2 * 12);
    const std::int64_t validation = 4 * network.ForwardWork(4 * 12), saves = 3 * network.SaveWork();
    EXPECT_EQ(listener.total, training + validation + saves);
    // A resumed run begins with the work that is done already.
    Listener again;
    Train(network, ToyTask(Config().vocab_size), options, "toy", folder.path(), again);
    EXPECT_EQ(again.seen, (std::vector<std::int64_t>{listener.total}));
  }
}

// What a person sees: steps and the part of the next one, which never goes back.
TEST(Trainer, PartsOfStepsAreShown) {
  class Listener : public Progress {
   public:
    void Resume(std::int64_t done) override { steps = done; }
    void Update(std::int64_t done, std::string_view) override { Show(steps = done, 0); }
    void Part(double of_unit) override { Show(steps, of_unit); }
    std::vector<double> shown{0};
    std::int64_t steps = 0;

   private:
    void Show(std::int64_t done, double part) {
      const double position = static_cast<double>(done) + part;
      EXPECT_GE(position, shown.back());
      EXPECT_TRUE(part >= 0 && part <= 1);
      shown.push_back(position);
    }
  };
  const TrainOptions options = WithEverything(AdapterKind::kLora);
  const TestFolder folder;
  Network network = MakeNetwork(options);
  Listener listener;
  Train(network, ToyTask(Config().vocab_size), options, "toy", folder.path(), listener);
  EXPECT_EQ(listener.shown.back(), static_cast<double>(options.steps));
  const auto within = [](double position) { return position != std::floor(position); };
  EXPECT_GE(std::ranges::count_if(listener.shown, within), 3 * options.steps);
}

TEST(Trainer, SavesWhenTimeHasPassed) {
  TrainOptions options = ToyOptions(AdapterKind::kLora);
  options.checkpoint_minutes = 10;
  double now = 0;
  TrainClock clock;
  // Each look at the clock advances it by a minute, so that a step is long.
  clock.now = [&now] { return now += 60; };
  const TestFolder folder;
  class Looker : public Progress {
   public:
    explicit Looker(std::filesystem::path path) : path_(std::move(path)) {}
    void Update(std::int64_t done, std::string_view) override {
      if (std::filesystem::exists(path_) && first == 0) first = done;
    }
    std::int64_t first = 0;

   private:
    std::filesystem::path path_;
  } looker(folder / "checkpoint.gguf");
  Network network = MakeNetwork(options);
  Train(network, ToyTask(Config().vocab_size), options, "toy", folder.path(), looker, clock);
  EXPECT_GT(looker.first, 1);
  EXPECT_LT(looker.first, options.steps);
}

// A full disk costs checkpoints, not the run.
TEST(Trainer, GoesOnWhereItCannotBeSaved) {
  TrainOptions options = ToyOptions(AdapterKind::kLora);
  options.checkpoint_every = 1;
  const Outcome straight = TrainAlone(options);
  const TestFolder folder;
  class InTheWay : public Progress {
   public:
    explicit InTheWay(std::filesystem::path path) : path_(std::move(path)) {}
    void Update(std::int64_t done, std::string_view) override {
      if (done != 3) return;
      std::filesystem::remove_all(path_);
      std::filesystem::create_directories(path_ / "in-the-way");
    }
    void Message(std::string_view line) override { lines.emplace_back(line); }
    std::vector<std::string> lines;

   private:
    std::filesystem::path path_;
  } progress(folder / "checkpoint.gguf");
  double now = 0;
  TrainClock clock;
  clock.now = [&now] { return now; };
  clock.sleep = [&now](double seconds) { now += seconds; };
  Network network = MakeNetwork(options);
  const TrainState state =
      Train(network, ToyTask(Config().vocab_size), options, "toy", folder.path(), progress, clock);
  EXPECT_EQ(state.step, options.steps);
  EXPECT_EQ(AllValues(network), straight.values);
  EXPECT_THAT(progress.lines, Contains(HasSubstr("step 3 is not saved")));
  EXPECT_THAT(progress.lines, Contains(HasSubstr("the result is not saved")));
  EXPECT_THAT(state.unsaved, HasSubstr("checkpoint.gguf"));

  Network another = MakeNetwork(options);
  std::filesystem::remove_all(folder / "checkpoint.gguf");
  class Both : public MidStepInterrupter {
   public:
    Both(double share, std::filesystem::path path) : MidStepInterrupter(share), path_(std::move(path)) {}
    void Update(std::int64_t done, std::string_view note) override {
      MidStepInterrupter::Update(done, note);
      std::filesystem::remove_all(path_);
      std::filesystem::create_directories(path_ / "in-the-way");
    }

   private:
    std::filesystem::path path_;
  } both(0.5, folder / "checkpoint.gguf");
  const std::string message = ErrorOf(
      [&] { Train(another, ToyTask(Config().vocab_size), options, "toy", folder.path(), both, clock); });
  EXPECT_THAT(message, AllOf(HasSubstr("could not be saved"), HasSubstr("checkpoint.gguf")));
}

TEST(Trainer, AnErrorInAStepSavesTheStepsBefore) {
  TrainOptions options = ToyOptions(AdapterKind::kLora);
  const TestFolder folder;
  TrainData data = ToyTask(Config().vocab_size);
  const auto examples = data.examples;
  data.examples = [&](std::int64_t first, std::int64_t count) {
    if (first >= 4 * options.batch_size) throw std::bad_alloc();
    return examples(first, count);
  };
  Network network = MakeNetwork(options);
  EXPECT_THROW(Train(network, data, options, "toy", folder.path(), NoProgress()), std::bad_alloc);
  EXPECT_TRUE(std::filesystem::exists(folder / "checkpoint.gguf"));
  EXPECT_EQ(TrainAlone(options, folder.path()).values, TrainAlone(options).values);
}

// A lower rate would not help.
TEST(Trainer, ADamagedBaseIsNamed) {
  for (const AdapterKind adapter : {AdapterKind::kLora, AdapterKind::kFull}) {
    const TrainOptions options = ToyOptions(adapter);
    MakeNetwork(options).CheckWeights();
    Weights weights = RandomWeights(Config(), 4);
    Tensor& down = weights.layers[1].down;
    down.mutable_floats()[3 * down.cols() + 2] = std::numeric_limits<float>::quiet_NaN();
    Network network(Config(), weights, options, ChooseKernels("auto"));
    EXPECT_THAT(ErrorOf([&] { Train(network, ToyTask(Config().vocab_size), options, "", {}, NoProgress()); }),
                HasSubstr("blk.1.ffn_down.weight: row 3 holds a value that is not a number"));
  }
}

TEST(Trainer, PaddingIsNotCountedAsTokens) {
  const TrainOptions options = ToyOptions(AdapterKind::kLora);
  Network network = MakeNetwork(options);
  TrainData data = ToyTask(Config().vocab_size);
  const auto examples = data.examples;
  data.examples = [&](std::int64_t first, std::int64_t count) {
    Batch batch = examples(first, count);
    batch.padding = 5;
    return batch;
  };
  const TrainState state = Train(network, data, options, "", {}, NoProgress());
  EXPECT_EQ(state.tokens, 8 * (2 * 12 - 5));
  EXPECT_EQ(state.log.points.front().tokens, 2 * 12 - 5);
}

TEST(Trainer, RefusesACheckpointOfOtherTextOrAnotherBase) {
  const TestFolder folder;
  const TrainOptions options = ToyOptions(AdapterKind::kLora);
  TrainAlone(options, folder.path());
  TrainData other_text = ToyTask(Config().vocab_size);
  other_text.content = "another";
  Network network = MakeNetwork(options);
  EXPECT_THAT(ErrorOf([&] { Train(network, other_text, options, "toy", folder.path(), NoProgress()); }),
              HasSubstr("a run with other text;"));
  // One weight of the LM head: no sample of the weights would find it.
  Weights weights = RandomWeights(Config(), 4);
  weights.output.mutable_floats().back() += 1;
  Network another(Config(), weights, options, ChooseKernels("auto"));
  EXPECT_THAT(ErrorOf([&] {
                Train(another, ToyTask(Config().vocab_size), options, "toy", folder.path(), NoProgress());
              }),
              HasSubstr("a run with another base model;"));
}

TEST(Trainer, ResumesFromItsLastCheckpointAfterAKill) {
  const TrainOptions options = WithEverything(AdapterKind::kRsLora);
  const TestFolder folder;
  {
    // What a kill at step 5 leaves behind: the checkpoint of step 3.
    Interrupt(options, 3, folder.path());
    const std::string checkpoint = ReadFile(folder / "checkpoint.gguf");
    Interrupt(options, 5, folder.path());
    WriteFile(folder / "checkpoint.gguf", checkpoint);
  }
  EXPECT_EQ(TrainAlone(options, folder.path()).values, TrainAlone(options).values);
}

TEST(Trainer, AFinishedRunIsNotTrainedAgain) {
  const TrainOptions options = ToyOptions(AdapterKind::kLora);
  const TestFolder folder;
  const Outcome first = TrainAlone(options, folder.path());
  const Outcome again = TrainAlone(options, folder.path());
  EXPECT_EQ(again.values, first.values);
  EXPECT_EQ(again.log.ToJsonLines(), first.log.ToJsonLines());
}

TEST(Trainer, RefusesACheckpointOfOtherSettings) {
  const TestFolder folder;
  TrainOptions options = ToyOptions(AdapterKind::kLora);
  TrainAlone(options, folder.path());
  const auto refused = [&](const TrainOptions& other, std::string_view rest = "toy") {
    Network network = MakeNetwork(other);
    return KindOf([&] {
             Train(network, ToyTask(Config().vocab_size), other, rest, folder.path(), NoProgress());
           }) == ErrorKind::kBadOption;
  };
  EXPECT_TRUE(refused(options, "other data"));
  TrainOptions other = options;
  other.learning_rate = 2e-2;
  EXPECT_TRUE(refused(other));
  other = options;
  other.alpha = 9;
  EXPECT_TRUE(refused(other));
  other = options;
  other.seed = 6;
  EXPECT_TRUE(refused(other));
  other = options;
  other.adapter = AdapterKind::kRsLora;
  EXPECT_TRUE(refused(other));
  // How often things are saved, or memory saved, changes no result.
  other = options;
  other.checkpoint_every = 1;
  other.recompute = false;
  EXPECT_EQ(TrainAlone(other, folder.path()).log.points.size(), 8u);
}

TEST(Trainer, LearnsAToyTask) {
  for (const AdapterKind kind : {AdapterKind::kFull, AdapterKind::kRsLora}) {
    TrainOptions options = ToyOptions(kind);
    options.steps = 60;
    options.batch_size = 4;
    options.eval_every = 30;
    options.targets = {"q", "k", "v", "o", "gate", "up", "down"};
    LlamaConfig config = Config();
    Network network(config, oracle::LivelyWeights(config, 3), options, ChooseKernels("auto"));
    const TrainData data = ToyTask(config.vocab_size);
    const double before = Validate(network, data.validation).mean();
    const TrainState state = Train(network, data, options, "", {}, NoProgress());
    EXPECT_LT(Validate(network, data.validation).mean(), 0.6 * before) << Name(kind);
    EXPECT_EQ(state.log.points.back().validation_loss, Validate(network, data.validation).mean());
    EXPECT_TRUE(state.log.points[29].validation_loss.has_value());
    EXPECT_FALSE(state.log.points[28].validation_loss.has_value());
    EXPECT_EQ(state.tokens, 60 * 4 * 12);
  }
}

TEST(Trainer, AccumulationEqualsALargerBatch) {
  TrainOptions large = ToyOptions(AdapterKind::kFull), small = large;
  large.batch_size = 8;
  small.batch_size = 4;
  small.gradient_accumulation = 2;
  large.steps = small.steps = 4;
  large.epsilon = small.epsilon = 1e-3;  // so that rounding in tiny gradients is not blown up to whole steps
  const Outcome a = TrainAlone(large), b = TrainAlone(small);
  for (std::size_t i = 0; i < a.log.points.size(); ++i) {
    EXPECT_NEAR(a.log.points[i].loss, b.log.points[i].loss, 1e-4);
    EXPECT_NEAR(a.log.points[i].grad_norm, b.log.points[i].grad_norm, 1e-3 * a.log.points[i].grad_norm);
    EXPECT_EQ(a.log.points[i].tokens, b.log.points[i].tokens);
  }
  double worst = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a.values[i] - b.values[i])));
  }
  EXPECT_LT(worst, 1e-4);
}

TEST(Trainer, ThreadsDoNotChangeTheResult) {
  const int threads = Threads();
  const TrainOptions options = WithEverything(AdapterKind::kFull);
  const Outcome want = TrainAlone(options);
  for (int n = 1; n <= 4; ++n) {
    SetThreads(n);
    EXPECT_EQ(TrainAlone(options).values, want.values) << n << " threads";
  }
  SetThreads(threads);
}

TEST(Trainer, TokensThatAreNotScoredCountForNothing) {
  TrainOptions options = ToyOptions(AdapterKind::kFull);
  options.weight_decay = 0;
  Network network = MakeNetwork(options);
  const std::vector<float> before = AllValues(network);
  TrainData data = ToyTask(Config().vocab_size);
  const auto examples = data.examples;
  data.examples = [&](std::int64_t first, std::int64_t count) {
    Batch batch = examples(first, count);
    std::ranges::fill(batch.targets, Batch::kIgnore);
    return batch;
  };
  const TrainState state = Train(network, data, options, "", {}, NoProgress());
  EXPECT_EQ(state.log.points.back().loss, 0);
  EXPECT_EQ(AllValues(network), before);
}

}  // namespace
}  // namespace longspan
