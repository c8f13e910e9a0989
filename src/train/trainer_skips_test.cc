// Steps that are left out: nothing that is no number gets into a model, and the run goes on.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/cancel.h"
#include "train/testing/toy.h"
#include "train/trainer.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A toy in which some steps go wrong: during these, a weight that is not trained is far too large.
class SkipsTest : public ::testing::Test, public Progress {
 protected:
  void Message(std::string_view line) override { lines_.emplace_back(line); }
  void Update(std::int64_t done, std::string_view) override {
    if (done == interrupt_after_) RequestCancel();
  }

  struct Outcome {
    std::vector<float> values;
    TrainState state;
  };

  Outcome Run(const std::set<std::int64_t>& bad, const std::filesystem::path& folder = {}) {
    Weights weights = RandomWeights(ToyConfig(), 4);
    Network network(ToyConfig(), weights, options_, ChooseKernels("auto"));
    // Rows of the LM head, whose logits overflow. The network looks at the same memory.
    const std::span<float> head = weights.output.mutable_floats();
    const std::vector<float> good(head.begin(), head.end());
    TrainData data = ToyTask(ToyConfig().vocab_size);
    data.validation.clear();
    const auto examples = data.examples;
    data.examples = [&, examples](std::int64_t first, std::int64_t count) {
      std::ranges::copy(good, head.begin());
      if (bad.contains(first / options_.ExamplesPerStep())) {
        std::fill_n(head.begin(), ToyConfig().dim, 3e38f);
        std::fill_n(head.begin() + ToyConfig().dim, ToyConfig().dim, -3e38f);
      }
      return examples(first, count);
    };
    Outcome outcome;
    outcome.state = Train(network, data, options_, "toy", folder, *this);
    outcome.values = AllValues(network);
    return outcome;
  }

  TrainOptions options_ = ToyOptions(AdapterKind::kLora);
  std::int64_t interrupt_after_ = -1;  // steps; then Ctrl-C is pressed
  std::vector<std::string> lines_;
};

TEST_F(SkipsTest, AStepThatOverflowsIsLeftOut) {
  const Outcome outcome = Run({2, 5});
  EXPECT_EQ(outcome.state.step, 8);
  EXPECT_EQ(outcome.state.log.Skipped(), 2);
  std::vector<std::int64_t> skipped;
  for (const TrainLogPoint& p : outcome.state.log.points) {
    if (p.skipped) skipped.push_back(p.step);
  }
  EXPECT_THAT(skipped, ElementsAre(3, 6));
  for (const float x : outcome.values) ASSERT_TRUE(std::isfinite(x));
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("step 3 is left out"), HasSubstr("step 6 is left out")));
  EXPECT_EQ(outcome.state.log.SkippedInARow(), 0);
}

TEST_F(SkipsTest, TooManyInARowStopTheRun) {
  options_.max_skipped = 2;
  EXPECT_EQ(Run({2, 3, 5, 6}).state.step, 8);
  const TestFolder folder;
  EXPECT_THAT(ErrorOf([&] {
                Run({2, 3, 4}, folder.path());
              }),
              AllOf(HasSubstr("step 5"), HasSubstr("nor could the 2 before it"), HasSubstr("learning_rate")));
  options_.max_skipped = 0;
  EXPECT_THAT(ErrorOf([&] { Run({2}); }), HasSubstr("step 3 cannot be made"));
}

TEST_F(SkipsTest, ResumesBitForBit) {
  const Outcome straight = Run({2, 5});
  for (const std::int64_t stop : {3, 4, 6}) {
    const TestFolder folder;
    interrupt_after_ = stop;
    EXPECT_EQ(KindOf([&] { Run({2, 5}, folder.path()); }), ErrorKind::kCancelled);
    ClearCancel();
    interrupt_after_ = -1;
    const Outcome resumed = Run({2, 5}, folder.path());
    EXPECT_EQ(resumed.values, straight.values) << stop;
    EXPECT_EQ(resumed.state.log.Skipped(), 2) << stop;
  }
}

}  // namespace
}  // namespace longspan
