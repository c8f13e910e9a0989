#include "infer/session.h"

#include <gmock/gmock.h>

#include <stdexcept>

#include "base/cancel.h"
#include "base/error.h"
#include "infer/speculation.h"
#include "infer/testing/fake_sequence.h"

namespace longspan {
namespace {

// A model that counts: after token t comes t + 1, modulo 10.
FakeSequence Counter() {
  return FakeSequence(10, [](std::span<const std::int32_t> tokens, std::span<float> logits) {
    std::ranges::fill(logits, 0.0f);
    logits[(tokens.back() + 1) % 10] = 5.0f;
  });
}

Sampler Greedy() {
  SamplerOptions options;
  options.temperature = 0;
  return Sampler(options);
}

using Tokens = std::vector<std::int32_t>;

Tokens Write(Session& session, const GenerateOptions& options, StopReason expected) {
  Tokens out;
  Sampler sampler = Greedy();
  EXPECT_EQ(session.Generate(sampler, options,
                             [&](std::int32_t token) {
                               out.push_back(token);
                               return true;
                             }),
            expected);
  return out;
}

TEST(Session, ContinuesThePrompt) {
  FakeSequence counter = Counter();
  Session session(counter, 100);
  session.Prefill(Tokens{1, 2, 3}, NoProgress(), 2);
  EXPECT_EQ(ArgMax(session.last_logits()), 4);
  EXPECT_EQ(Write(session, {.max_tokens = 3, .stop_tokens = {}}, StopReason::kTokenLimit), (Tokens{4, 5, 6}));
}

TEST(Session, StopsAtAStopToken) {
  FakeSequence counter = Counter();
  Session session(counter, 100);
  session.Prefill(Tokens{1});
  EXPECT_EQ(Write(session, {.max_tokens = 50, .stop_tokens = {5}}, StopReason::kStopToken),
            (Tokens{2, 3, 4}));
}

TEST(Session, StopsWhereTheContextIsFull) {
  FakeSequence counter = Counter();
  Session session(counter, 4);
  session.Prefill(Tokens{1, 2});
  // 3 and 4 are read; 5 is predicted by a full context and need not be.
  EXPECT_EQ(Write(session, {}, StopReason::kContextFull), (Tokens{3, 4, 5}));
}

TEST(Session, RefusesAPromptThatDoesNotFit) {
  FakeSequence counter = Counter();
  Session session(counter, 4);
  EXPECT_THROW(session.Prefill(Tokens(5, 1)), Error);
  session.Prefill(Tokens(4, 1));
  EXPECT_THROW(session.Prefill(Tokens(1, 1)), Error);
}

TEST(Session, CancelStopsBetweenTokens) {
  FakeSequence counter = Counter();
  Session session(counter, 100);
  session.Prefill(Tokens{1});
  Sampler sampler = Greedy();
  int seen = 0;
  const StopReason reason = session.Generate(sampler, {}, [&](std::int32_t) {
    if (++seen == 2) RequestCancel();
    return true;
  });
  EXPECT_EQ(reason, StopReason::kCancelled);
  EXPECT_EQ(seen, 2);
  EXPECT_THROW(session.Prefill(Tokens{1}), Error);
  ClearCancel();
}

// After a prefill that was stopped there are no logits, because those at hand belong to other tokens.
TEST(Session, AStoppedPrefillHasNoLogits) {
  FakeSequence counter = Counter();
  Session session(counter, 100);
  session.Prefill(Tokens{1, 2});
  EXPECT_EQ(ArgMax(session.last_logits()), 3);
  RequestCancel();
  EXPECT_THROW(session.Prefill(Tokens{7}), Error);
  ClearCancel();
  EXPECT_THROW(session.last_logits(), Error);
  session.Prefill(Tokens{7});
  EXPECT_EQ(ArgMax(session.last_logits()), 8);
}

// A drafter that fails, like a draft model whose file has become unreadable.
class FailingDrafter : public Drafter {
 public:
  std::span<const std::int32_t> Draft(std::span<const std::int32_t>, std::int64_t) override {
    throw std::runtime_error("no draft");
  }
  void Accepted(std::int64_t) override {}
};

TEST(Session, AFailedPassLeavesWhatWasRead) {
  FakeSequence counter = Counter();
  Session session(counter, 100);
  session.Prefill(Tokens{1, 2});
  Sampler sampler = Greedy();
  FailingDrafter drafter;
  EXPECT_THROW(session.Generate(
                   sampler, {}, [](std::int32_t) { return true; }, &drafter),
               std::runtime_error);
  EXPECT_EQ(session.tokens(), (Tokens{1, 2}));
  EXPECT_EQ(counter.tokens(), session.tokens());
  EXPECT_EQ(Write(session, {.max_tokens = 2}, StopReason::kTokenLimit), (Tokens{3, 4}));
}

TEST(Session, SharesPrefixes) {
  FakeSequence fake = Counter();
  Session session(fake, 100);
  session.PrefillShared(Tokens{1, 2, 3, 4});
  EXPECT_EQ(fake.forwarded(), 4);
  session.PrefillShared(Tokens{1, 2, 7});
  EXPECT_EQ(fake.forwarded(), 5);
  EXPECT_EQ(fake.tokens(), (Tokens{1, 2, 7}));
  EXPECT_EQ(ArgMax(session.last_logits()), 8);
  session.PrefillShared(Tokens{1, 2});  // a prefix of what was read: its last token is read again
  EXPECT_EQ(fake.forwarded(), 6);
  EXPECT_EQ(ArgMax(session.last_logits()), 3);
  EXPECT_EQ(session.tokens(), (Tokens{1, 2}));
}

}  // namespace
}  // namespace longspan
