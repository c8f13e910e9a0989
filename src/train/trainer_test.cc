#include "train/trainer.h"

#include <cmath>

#include "base/cancel.h"
#include "base/file.h"
#include "base/parallel.h"
#include "train/testing/toy.h"

namespace longspan {
namespace {

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
    const TrainOptions options = WithEverything(kind);
    const Outcome straight = TrainAlone(options);
    ASSERT_EQ(straight.log.points.size(), 8u);
    for (const std::int64_t stop : {1, 3, 7, 8}) {  // the last: Ctrl-C when all is done but the goodbye
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
