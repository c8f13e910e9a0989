#include "cli/progress_line.h"

#include <gmock/gmock.h>

namespace longspan {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string Line(const ProgressNumbers& numbers, ProgressEnd end = ProgressEnd::kGoesOn) {
  return ProgressLine(numbers, 100, false, end);
}

TEST(ProgressLine, ThePercentageIsThatOfWhatIsShown) {
  ProgressNumbers numbers{.label = "read", .unit = "tokens", .note = "", .total = 1000, .done = 996};
  EXPECT_THAT(Line(numbers), HasSubstr(" 99% 996/1000 tokens"));  // 100% is the end
  numbers.done = 1000;
  EXPECT_THAT(Line(numbers, ProgressEnd::kFinished), HasSubstr("100% 1000/1000 tokens"));
}

// A step may take minutes: what is done of it is part of both numbers.
TEST(ProgressLine, APartOfAUnitShows) {
  ProgressNumbers numbers{.label = "train", .unit = "steps", .note = "loss 3.21", .total = 20, .done = 19};
  numbers.work_total = 1000;
  numbers.work_done = 955;
  numbers.part = 0.1;
  EXPECT_THAT(Line(numbers), StartsWith("train"));
  EXPECT_THAT(Line(numbers), HasSubstr(" 95% 19.1/20 steps"));
  EXPECT_THAT(Line(numbers), EndsWith("loss 3.21"));
  numbers.part = 0.999;  // rounded down, because the step is not done
  EXPECT_THAT(Line(numbers), HasSubstr(" 99% 19.9/20 steps"));
  numbers.part = 0;
  EXPECT_THAT(Line(numbers), HasSubstr(" 95% 19.0/20 steps"));
  numbers.done = 20;
  EXPECT_THAT(Line(numbers, ProgressEnd::kFinished), HasSubstr("100% 20/20 steps"));
}

// Validation and checkpoints are work too: the time left comes from all of it.
TEST(ProgressLine, TheTimeLeftIsThatOfTheWork) {
  ProgressNumbers numbers{.label = "train", .unit = "steps", .note = "", .total = 20, .done = 10};
  numbers.work_total = 1000;
  numbers.work_done = 800;
  EXPECT_THAT(Line(numbers), HasSubstr("  0:25 left"));
  numbers.work_done = 1;
  numbers.work_total = 1'000'000'000;
  EXPECT_THAT(Line(numbers), HasSubstr("  3169 years left"));
}

TEST(ProgressLine, WithoutATotalThereIsNoPercentage) {
  const ProgressNumbers numbers{.label = "read", .unit = "tokens", .note = "", .total = 0, .done = 5};
  EXPECT_THAT(Line(numbers), Not(HasSubstr("%")));
}

}  // namespace
}  // namespace longspan
