#include "benchmark/benchmark.h"

#include <gmock/gmock.h>

#include "base/cancel.h"
#include "base/error.h"
#include "base/machine.h"
#include "benchmark/cost.h"
#include "model/testing/small_model.h"

namespace longspan {
namespace {

class BenchmarkTest : public testing::Test {
 protected:
  ErrorKind KindOfFailure(const BenchmarkOptions& options) const {
    try {
      MeasureModel(model_, options);
    } catch (const Error& error) {
      return error.kind();
    }
    ADD_FAILURE() << "no error";
    return ErrorKind::kInternal;
  }

  LlamaConfig config_ = oracle::SmallConfig();
  Transformer model_{config_, oracle::LivelyWeights(config_, 1), ReferenceKernels()};
};

TEST_F(BenchmarkTest, MeasuresEveryWorkAtEveryDepth) {
  BenchmarkOptions options;
  options.depths = {100, 0};
  options.prefill = 20;
  options.decode = 3;
  options.prompt = 600;  // more than a chunk
  options.repetitions = 2;
  const std::vector<BenchmarkResult> results = MeasureModel(model_, options);
  std::vector<std::string> lines;
  for (const BenchmarkResult& r : results) {
    lines.push_back(
        fmt::format("{} of {} at {}, {} times", Name(r.work), r.tokens, r.depth, r.seconds.size()));
    EXPECT_GT(r.BestSeconds(), 0);
    EXPECT_GE(r.MedianSeconds(), r.BestSeconds());
    EXPECT_EQ(r.TokensPerSecond(2), static_cast<double>(r.tokens) / 2);
  }
  EXPECT_THAT(lines, testing::ElementsAre("prefill of 20 at 0, 2 times", "prefill of 20 at 100, 2 times",
                                          "prompt of 600 at 0, 1 times", "decode of 3 at 0, 2 times",
                                          "decode of 3 at 100, 2 times"));
}

TEST_F(BenchmarkTest, CountsWhatIsDone) {
  BenchmarkOptions options;
  options.depths = {9};
  options.prefill = 5;
  options.decode = 2;
  options.prompt = 513;
  const std::vector<BenchmarkResult> r = MeasureModel(model_, options);
  const double weights = WeightBytes(model_.weights());
  ASSERT_EQ(r.size(), 3u);
  EXPECT_EQ(r[0].operations, ForwardOperations(config_, 5, 9) + LogitsOperations(config_, 1));
  EXPECT_EQ(r[0].bytes, weights + KvBytes(config_, 13, Type::kF32));
  EXPECT_EQ(r[1].operations, ForwardOperations(config_, 513, 0) + LogitsOperations(config_, 1));
  EXPECT_EQ(r[1].bytes, 2 * weights + KvBytes(config_, 511, Type::kF32) + KvBytes(config_, 512, Type::kF32));
  EXPECT_EQ(r[2].operations, ForwardOperations(config_, 2, 9) + LogitsOperations(config_, 2));
  EXPECT_EQ(r[2].bytes, 2 * weights + KvBytes(config_, 9, Type::kF32) + KvBytes(config_, 10, Type::kF32));
}

TEST_F(BenchmarkTest, WorkIsComparedWithTheMachineOfTheSameMoment) {
  BenchmarkOptions options;
  options.depths = {0};
  options.prefill = 5;
  options.decode = 2;
  std::vector<BenchmarkWork> asked;
  options.machine = [&](BenchmarkWork work) {
    asked.push_back(work);
    return work == BenchmarkWork::kDecode ? 1e9 : 1e12;
  };
  const std::vector<BenchmarkResult> r = MeasureModel(model_, options);
  ASSERT_EQ(r.size(), 2u);
  ASSERT_EQ(r[0].of_machine.size(), 3u);
  EXPECT_NEAR(r[0].MedianOfMachine(), r[0].operations / r[0].MedianSeconds() / 1e12, 1e-9);
  ASSERT_EQ(r[1].of_machine.size(), 3u);
  EXPECT_NEAR(r[1].MedianOfMachine(), r[1].bytes / r[1].MedianSeconds() / 1e9, 1e-9);
  const auto of_decodes = std::ranges::count(asked, BenchmarkWork::kDecode);
  EXPECT_EQ(of_decodes, 4);  // around each of three
  EXPECT_EQ(std::ssize(asked), 8);
}

TEST_F(BenchmarkTest, AWholePromptIsTimedByDepth) {
  BenchmarkOptions options;
  options.prefill = options.decode = 0;
  options.prompt = 1100;
  double of_machine = 0, seconds = 0;
  options.machine = [](BenchmarkWork) { return 1e12; };
  const BenchmarkResult r = MeasureModel(model_, options).at(0);
  ASSERT_EQ(r.stretches.size(), 3u);
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(r.stretches[i].depth, 512 * i);
    EXPECT_EQ(r.stretches[i].tokens, i < 2 ? 512 : 76);
    EXPECT_GT(r.stretches[i].seconds, 0);
    seconds += r.stretches[i].seconds;
    of_machine += r.stretches[i].of_machine * r.stretches[i].seconds;
  }
  EXPECT_NEAR(r.BestSeconds(), seconds, 1e-9 * seconds);
  EXPECT_NEAR(r.MedianOfMachine(), r.operations / seconds / 1e12, 1e-9 * r.MedianOfMachine());
  EXPECT_NEAR(r.MedianOfMachine(), of_machine / seconds, 1e-9 * r.MedianOfMachine());
}

TEST_F(BenchmarkTest, AProfileIsMeasuredBesideWhatItIsOf) {
  BenchmarkOptions options;
  options.depths = {0};
  options.prefill = 5;
  options.decode = 2;
  EXPECT_TRUE(MeasureModel(model_, options)[0].parts.empty());
  options.profile = true;
  const std::vector<BenchmarkResult> results = MeasureModel(model_, options);
  ASSERT_EQ(results.size(), 2u);
  for (const BenchmarkResult& r : results) {
    EXPECT_EQ(r.seconds.size(), 3u);
    EXPECT_EQ(r.parts.size(), kPassParts - 1);  // no adapters
    EXPECT_GT(r.ProfiledSeconds(), 0);
  }
}

TEST_F(BenchmarkTest, BatchesShareTheWeightsAndAreOfTheLeastDepth) {
  BenchmarkOptions options;
  options.depths = {50, 3};
  options.prefill = 0;
  options.decode = 1;
  options.batches = {4, 1};
  options.cache_type = Type::kBF16;
  const std::vector<BenchmarkResult> r = MeasureModel(model_, options);
  ASSERT_EQ(r.size(), 3u);
  EXPECT_EQ(r[0].sequences, 1);
  EXPECT_EQ(r[1].sequences, 4);
  EXPECT_EQ(r[1].depth, 3);
  EXPECT_EQ(r[2].sequences, 1);
  EXPECT_EQ(r[2].depth, 50);
  EXPECT_EQ(r[1].operations, 4 * r[0].operations);
  EXPECT_EQ(r[1].bytes, WeightBytes(model_.weights()) + 4 * KvBytes(config_, 3, Type::kBF16));
  EXPECT_EQ(r[1].TokensPerSecond(2), 2);
}

TEST_F(BenchmarkTest, NothingIsMeasuredThatIsNotAskedFor) {
  BenchmarkOptions options;
  options.prefill = options.decode = 0;
  EXPECT_TRUE(MeasureModel(model_, options).empty());
  options = {};
  options.depths.clear();
  EXPECT_TRUE(MeasureModel(model_, options).empty());
}

TEST_F(BenchmarkTest, MedianOfEvenlyManyLiesBetween) {
  BenchmarkResult result{BenchmarkWork::kDecode};
  result.seconds = {1, 2, 4};
  EXPECT_EQ(result.MedianSeconds(), 2);
  result.seconds = {1, 2, 4, 5};
  EXPECT_EQ(result.MedianSeconds(), 3);
}

TEST_F(BenchmarkTest, ImpossibleOptionsAreRefusedFirst) {
  BenchmarkOptions negative;
  negative.depths = {0, -1};
  EXPECT_EQ(KindOfFailure(negative), ErrorKind::kBadOption);
  BenchmarkOptions never;
  never.repetitions = 0;
  EXPECT_EQ(KindOfFailure(never), ErrorKind::kBadOption);
}

TEST_F(BenchmarkTest, ADepthThatMemoryCannotHoldIsRefused) {
  const std::int64_t token = KvCache::Bytes(config_, kKvBlock) / kKvBlock;
  BenchmarkOptions options;
  options.depths = {2 * static_cast<std::int64_t>(MemoryBytes()) / token};
  if (options.depths[0] > std::int64_t{1} << 29) GTEST_SKIP() << "too much memory for so small a model";
  EXPECT_EQ(KindOfFailure(options), ErrorKind::kOutOfMemory);
}

TEST_F(BenchmarkTest, CanBeCancelled) {
  RequestCancel();
  EXPECT_EQ(KindOfFailure({}), ErrorKind::kCancelled);
  ClearCancel();
}

}  // namespace
}  // namespace longspan
