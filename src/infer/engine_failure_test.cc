// What goes wrong in one request, or in one pass, must not reach the next.
#include <gmock/gmock.h>

#include <stdexcept>

#include "base/error.h"
#include "infer/engine.h"
#include "infer/testing/small_engine.h"

namespace longspan {
namespace {

class EngineFailureTest : public testing::Test {
 protected:
  const Transformer& model() const { return small_.transformer; }
  Tokens Alone(const Request& request) const { return WrittenAlone(model(), request); }

  const SmallModel small_;
};

// Runs an engine's steps and returns what they threw. Gives up on an engine that never stops throwing.
std::vector<std::string> StepsThatThrew(Engine& engine) {
  std::vector<std::string> thrown;
  while (!engine.idle() && thrown.size() < 5) {
    try {
      engine.Step();
    } catch (const std::exception& e) {
      thrown.push_back(e.what());
    }
  }
  return thrown;
}

// A model that reads but has no logits, because its head is of a type that nothing can decode.
TEST_F(EngineFailureTest, APassThatFailsEndsTheRequestsThatWereInIt) {
  LlamaConfig config = oracle::SmallConfig();
  Weights weights = oracle::LivelyWeights(config, 1);
  weights.output = Tensor::Allocate(Type::kI32, {config.vocab_size, config.dim});
  const Transformer headless(config, weights, ChooseKernels("auto"));
  Engine engine(headless, {.step_tokens = 20, .max_sequences = 2});
  std::deque<Outcome> outcomes(3);
  std::vector<SequenceId> ids;
  for (std::size_t i = 0; i < 3; ++i) {
    Request request = outcomes[i].Noting(Ask(SomeTokens(9, i), 5));
    request.keep = i == 0;
    ids.push_back(engine.Submit(request));
  }
  EXPECT_THAT(StepsThatThrew(engine), testing::IsEmpty());
  for (const Outcome& outcome : outcomes) {
    ASSERT_TRUE(outcome.finish);
    EXPECT_EQ(outcome.finish->reason, StopReason::kFailed);
    EXPECT_THAT(outcome.finish->message, testing::HasSubstr("I32"));
    EXPECT_EQ(outcome.finish->written, 0);
  }
  EXPECT_EQ(engine.tokens(ids[0]), SomeTokens(9, 0));  // it rests, as it was asked to
  engine.Release(ids[0]);
  EXPECT_EQ(engine.pool().used_pages(), 0);
}

// Two write and one has just ended when its on_finish throws. Nobody loses a token.
TEST_F(EngineFailureTest, WhatOnFinishThrowsLeavesTheStepOnceAllIsDone) {
  for (std::size_t thrower = 0; thrower < 3; ++thrower) {
    Engine engine(model());
    std::deque<Outcome> outcomes(3);
    std::vector<Request> requests;
    for (std::size_t i = 0; i < 3; ++i) {
      requests.push_back(Ask(SomeTokens(9 + static_cast<std::int64_t>(i), i), i == thrower ? 4 : 20, i));
      Request request = outcomes[i].Noting(requests.back());
      if (i == thrower) {
        request.on_finish = [&, i](const Finish& finish) {
          outcomes[i].finish = finish;
          throw std::runtime_error("the line is dead");
        };
      }
      engine.Submit(request);
    }
    EXPECT_THAT(StepsThatThrew(engine), testing::ElementsAre("the line is dead")) << thrower;
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(outcomes[i].tokens, Alone(requests[i])) << thrower << ", request " << i;
      ASSERT_TRUE(outcomes[i].finish);
      EXPECT_EQ(outcomes[i].finish->reason, StopReason::kTokenLimit);
    }
  }
}

// The same where on_finish is called before the pass. The other cancelled requests end in the same step.
TEST_F(EngineFailureTest, WhatOnFinishThrowsDoesNotStopTheOtherCancels) {
  Engine engine(model());
  std::deque<Outcome> outcomes(3);
  std::vector<SequenceId> ids;
  for (std::size_t i = 0; i < 3; ++i) {
    Request request = outcomes[i].Noting(Ask(SomeTokens(9, i), 20));
    if (i == 0) request.on_finish = [](const Finish&) { throw std::runtime_error("the line is dead"); };
    ids.push_back(engine.Submit(request));
  }
  engine.Step();
  engine.Cancel(ids[0]);
  engine.Cancel(ids[1]);
  EXPECT_THAT([&] { engine.Step(); },
              testing::ThrowsMessage<std::runtime_error>(testing::StrEq("the line is dead")));
  ASSERT_TRUE(outcomes[1].finish);
  EXPECT_EQ(outcomes[1].finish->reason, StopReason::kCancelled);
  EXPECT_THAT(StepsThatThrew(engine), testing::IsEmpty());
  EXPECT_EQ(outcomes[2].tokens, Alone(Ask(SomeTokens(9, 2), 20)));
}

TEST_F(EngineFailureTest, OnTokenMayThrowAnything) {
  Engine engine(model());
  Outcome failed, other;
  Request request = failed.Noting(Ask(SomeTokens(9, 1), 20));
  request.on_token = [](std::int32_t) -> bool { throw 42; };
  engine.Submit(request);
  engine.Submit(other.Noting(Ask(SomeTokens(9, 2), 20)));
  RunToEnd(engine);
  ASSERT_TRUE(failed.finish);
  EXPECT_EQ(failed.finish->reason, StopReason::kFailed);
  EXPECT_NE(failed.finish->message, "");
  EXPECT_EQ(other.tokens, Alone(Ask(SomeTokens(9, 2), 20)));
}

// A client hangs up at the moment its answer ends; the sequence goes on with somebody else's question.
TEST_F(EngineFailureTest, ALateCancelDoesNotEndTheNextRequest) {
  for (const bool before : {true, false}) {
    Engine engine(model());
    Request first = Ask(SomeTokens(9, 1), 5);
    first.keep = true;
    const SequenceId id = engine.Submit(first);
    RunToEnd(engine);
    Outcome second;
    if (before) engine.Cancel(id);
    engine.Continue(id, second.Noting(Ask(SomeTokens(4, 2), 20)));
    if (!before) engine.Cancel(id);  // still meant for the first request
    RunToEnd(engine);
    ASSERT_TRUE(second.finish);
    EXPECT_EQ(second.finish->reason, StopReason::kTokenLimit) << before;
    EXPECT_EQ(second.tokens.size(), 20);
  }
}

TEST_F(EngineFailureTest, ACancelFromWithinTheLastStepDoesNotEndTheNextRequest) {
  Engine engine(model());
  SequenceId id = 0;
  Outcome second;
  Request first = Ask(SomeTokens(9, 1), 5);
  first.keep = true;
  first.on_token = [&](std::int32_t) {
    engine.Cancel(id);
    return false;  // it ends before the cancel is seen
  };
  first.on_finish = [&](const Finish&) { engine.Continue(id, second.Noting(Ask(SomeTokens(4, 2), 20))); };
  id = engine.Submit(first);
  RunToEnd(engine);
  ASSERT_TRUE(second.finish);
  EXPECT_EQ(second.finish->reason, StopReason::kTokenLimit);
}

TEST_F(EngineFailureTest, RefusesALimitBelowZero) {
  Engine engine(model());
  EXPECT_THAT([&] { engine.Submit(Ask({1}, -1)); }, testing::ThrowsMessage<Error>(testing::HasSubstr("-1")));
}

}  // namespace
}  // namespace longspan
