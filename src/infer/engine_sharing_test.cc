// Sequences that share what they have in common: prefixes that are found, forks, and files.
#include <gmock/gmock.h>

#include "base/error.h"
#include "infer/engine.h"
#include "infer/testing/small_engine.h"

namespace longspan {
namespace {

class EngineSharingTest : public testing::Test {
 protected:
  const Transformer& model() const { return small_.transformer; }
  Tokens Alone(const Tokens& prompt, std::int64_t tokens, std::uint64_t seed = 0) const {
    return WrittenAlone(model(), Ask(prompt, tokens, seed));
  }
  static Tokens Joined(Tokens a, const Tokens& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
  // A finished sequence that the engine keeps.
  static SequenceId Rest(Engine& engine, const Tokens& prompt, std::int64_t tokens) {
    Request request = Ask(prompt, tokens);
    request.keep = true;
    const SequenceId id = engine.Submit(request);
    RunToEnd(engine);
    return id;
  }
  Tokens Continued(Engine& engine, SequenceId id, const Tokens& prompt, std::int64_t tokens) const {
    Outcome outcome;
    engine.Continue(id, outcome.Noting(Ask(prompt, tokens)));
    RunToEnd(engine);
    EXPECT_TRUE(outcome.finish);
    return outcome.tokens;
  }

  const SmallModel small_;
};

TEST_F(EngineSharingTest, AFinishedSequencesPagesAreFound) {
  Engine engine(model());
  const Tokens begin = SomeTokens(150, 1);
  RunTogether(engine, {Ask(begin, 5)});
  for (const auto& [rest, shared] : std::vector<std::pair<Tokens, std::int64_t>>{
           {{}, 128}, {SomeTokens(20, 2), 128}, {SomeTokens(70, 3), 128}}) {
    const Tokens prompt = Joined(begin, rest);
    Outcome outcome;
    engine.Submit(outcome.Noting(Ask(prompt, 8, 7)));
    const StepReport report = RunToEnd(engine);
    EXPECT_EQ(outcome.finish->shared_tokens, shared);
    EXPECT_EQ(report.read, std::ssize(prompt) - shared + 7);
    EXPECT_EQ(outcome.tokens, Alone(prompt, 8, 7));
  }
}

// Written tokens are found like read ones, for example when a conversation comes back with its next question.
TEST_F(EngineSharingTest, WrittenTokensAreFoundToo) {
  Engine engine(model());
  const Tokens prompt = SomeTokens(40, 1), answer = Alone(prompt, 60);
  RunTogether(engine, {Ask(prompt, 60)});
  const Tokens next = Joined(Joined(prompt, answer), SomeTokens(5, 2));
  const auto outcome = RunTogether(engine, {Ask(next, 10)}).front();
  EXPECT_EQ(outcome.finish->shared_tokens, 64);
  EXPECT_EQ(outcome.tokens, Alone(next, 10));
}

// The last token must be read for its logits, though its page is known.
TEST_F(EngineSharingTest, APromptOfWholePagesIsReadFromItsLastPageOn) {
  Engine engine(model());
  const Tokens prompt = SomeTokens(128, 1);
  RunTogether(engine, {Ask(prompt, 3)});
  const auto outcome = RunTogether(engine, {Ask(prompt, 3)}).front();
  EXPECT_EQ(outcome.finish->shared_tokens, 64);
  EXPECT_EQ(outcome.tokens, Alone(prompt, 3));
}

TEST_F(EngineSharingTest, ARunningSequencesPagesAreFound) {
  Engine engine(model(), {.step_tokens = 70});
  const Tokens begin = SomeTokens(100, 1), other = Joined(begin, SomeTokens(30, 2));
  Outcome first, second;
  engine.Submit(first.Noting(Ask(begin, 50)));
  for (int i = 0; i < 4; ++i) engine.Step();
  engine.Submit(second.Noting(Ask(other, 10)));
  RunToEnd(engine);
  EXPECT_EQ(second.finish->shared_tokens, 64);
  EXPECT_EQ(first.tokens, Alone(begin, 50));
  EXPECT_EQ(second.tokens, Alone(other, 10));
}

// Requests with the same beginning come together. It is read once, whatever the size of chunks.
TEST_F(EngineSharingTest, TheSameBeginningIsReadOnce) {
  for (const std::int64_t chunk : {16, 50, 64, 100, 512}) {
    Engine engine(model(), {.step_tokens = chunk, .max_sequences = 8});
    const Tokens begin = SomeTokens(192, 1);
    std::vector<Request> requests;
    for (std::uint64_t i = 0; i < 5; ++i)
      requests.push_back(Ask(Joined(begin, SomeTokens(10, 10 + i)), 6, i));
    std::deque<Outcome> outcomes(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) engine.Submit(outcomes[i].Noting(requests[i]));
    const StepReport report = RunToEnd(engine);
    EXPECT_EQ(report.read, 192 + 5 * 10 + 5 * 5) << chunk;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(outcomes[i].tokens, WrittenAlone(model(), requests[i])) << chunk << " " << i;
    }
  }
}

// A sequence reads far past its first page, and a new prompt needs the same page. The reader will not compute
// it again, so the prompt must not wait for it.
TEST_F(EngineSharingTest, APromptDoesNotWaitForAReaderThatIsPastItsPages) {
  Engine engine(model(), {.step_tokens = 16, .max_sequences = 4});
  const Tokens begin = SomeTokens(10, 1);
  Request request = Ask(begin, 62);
  request.keep = true;
  engine.Submit(Ask(begin, 62));  // writes the same, and makes it known first
  const SequenceId id = engine.Submit(request);
  RunToEnd(engine);
  engine.ForgetPrefixes();
  const Tokens all = engine.tokens(id);
  Outcome reader, waiter;
  engine.Continue(id, reader.Noting(Ask(SomeTokens(120, 2), 1)));
  const Tokens prompt = Joined(Tokens(all.begin(), all.begin() + 64), SomeTokens(8, 3));
  engine.Submit(waiter.Noting(Ask(prompt, 1)));
  for (int i = 0; i < 2; ++i) engine.Step();
  EXPECT_FALSE(reader.finish);
  ASSERT_TRUE(waiter.finish);
  EXPECT_EQ(waiter.finish->shared_tokens, 64);
  EXPECT_EQ(waiter.tokens, Alone(prompt, 1));
}

TEST_F(EngineSharingTest, CanBeTurnedOff) {
  Engine engine(model(), {.share_prefixes = false});
  for (int i = 0; i < 2; ++i) {
    const auto outcome = RunTogether(engine, {Ask(SomeTokens(150, 1), 3)}).front();
    EXPECT_EQ(outcome.finish->shared_tokens, 0);
    EXPECT_EQ(engine.pool().used_pages(), 0);
  }
}

TEST_F(EngineSharingTest, ForksGoTheirOwnWays) {
  for (const std::int64_t length : {5, 63, 64, 100, 128}) {
    Engine engine(model());
    const Tokens prompt = SomeTokens(length, 1);
    const SequenceId id = Rest(engine, prompt, 4);
    const Tokens written = Alone(prompt, 4);
    EXPECT_EQ(engine.tokens(id), Joined(prompt, written));
    const std::int64_t used = engine.pool().used_pages();
    const SequenceId a = engine.Fork(id), b = engine.Fork(id);
    EXPECT_EQ(engine.pool().used_pages(), used);
    Outcome of_a, of_b, of_id;
    engine.Continue(a, of_a.Noting(Ask(SomeTokens(3, 2), 20)));
    engine.Continue(b, of_b.Noting(Ask({}, 20)));
    engine.Continue(id, of_id.Noting(Ask(SomeTokens(70, 3), 20)));
    RunToEnd(engine);
    const Tokens whole = Joined(prompt, written);
    EXPECT_EQ(of_a.tokens, Alone(Joined(whole, SomeTokens(3, 2)), 20)) << length;
    EXPECT_EQ(of_b.tokens, Alone(whole, 20)) << length;
    EXPECT_EQ(of_id.tokens, Alone(Joined(whole, SomeTokens(70, 3)), 20)) << length;
    engine.ForgetPrefixes();
    EXPECT_EQ(engine.pool().used_pages(), 0);
  }
}

TEST_F(EngineSharingTest, ARunningSequenceCanBeForked) {
  Engine engine(model(), {.step_tokens = 20});
  const Tokens prompt = SomeTokens(90, 1);
  Outcome original, of_fork;
  const SequenceId id = engine.Submit(original.Noting(Ask(prompt, 40)));
  for (int i = 0; i < 3; ++i) engine.Step();  // in the middle of its prompt
  const SequenceId early = engine.Fork(id);
  for (int i = 0; i < 12; ++i) engine.Step();
  const SequenceId late = engine.Fork(id);
  EXPECT_EQ(engine.tokens(early), prompt);
  const Tokens so_far = engine.tokens(late);
  EXPECT_GT(so_far.size(), 95);
  RunToEnd(engine);
  EXPECT_EQ(original.tokens, Alone(prompt, 40));
  EXPECT_EQ(Continued(engine, early, {}, 40), original.tokens);
  EXPECT_EQ(Continued(engine, late, {}, 5), Alone(so_far, 5));
}

TEST_F(EngineSharingTest, TruncatesARestingSequence) {
  for (const std::int64_t keep : {0, 1, 63, 64, 65, 99, 104}) {
    Engine engine(model());
    const Tokens prompt = SomeTokens(100, 1), rest = SomeTokens(6, 2);
    const SequenceId id = Rest(engine, prompt, 4);
    Tokens cut = engine.tokens(id);
    EXPECT_THROW(engine.Truncate(id, 105), Error);
    EXPECT_THROW(engine.Truncate(id, -1), Error);
    engine.Truncate(id, keep);
    cut.resize(keep);
    EXPECT_EQ(Continued(engine, id, rest, 9), Alone(Joined(cut, rest), 9)) << keep;
    // The pages that the prefix cache holds were not overwritten.
    const auto outcome = RunTogether(engine, {Ask(prompt, 9)}).front();
    EXPECT_EQ(outcome.tokens, Alone(prompt, 9)) << keep;
  }
}

TEST_F(EngineSharingTest, OnlyRestingSequencesAreHandled) {
  Engine engine(model());
  const SequenceId id = engine.Submit(Ask(SomeTokens(9, 1), 20));
  engine.Step();
  EXPECT_THROW(engine.Truncate(id, 3), Error);
  EXPECT_THROW(engine.Continue(id, Ask({}, 1)), Error);
  engine.Release(id);
  EXPECT_TRUE(engine.idle());
  EXPECT_EQ(engine.pool().used_pages(), 0);
}

// Such a sequence holds one token more than the context: the last one was written and never read.
TEST_F(EngineSharingTest, ASequenceThatFilledItsContextIsSavedAndRestored) {
  const TestFolder folder;
  const EngineOptions options{.context = 40};
  const Tokens prompt = SomeTokens(20, 1);
  Tokens whole;
  {
    Engine engine(model(), options);
    Outcome outcome;
    Request request = outcome.Noting(Ask(prompt, 0));
    request.keep = true;
    const SequenceId id = engine.Submit(request);
    RunToEnd(engine);
    EXPECT_EQ(outcome.finish->reason, StopReason::kContextFull);
    whole = engine.tokens(id);
    EXPECT_EQ(whole.size(), 41);
    engine.Save(id, folder / "full.lsq");
  }
  Engine engine(model(), options);
  const SequenceId id = engine.Restore(folder / "full.lsq");
  EXPECT_EQ(engine.tokens(id), whole);
  EXPECT_THAT([&] { engine.Continue(id, Ask({}, 1)); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("context of 40")));
  engine.Truncate(id, 30);
  EXPECT_EQ(Continued(engine, id, {}, 5), Alone(Tokens(whole.begin(), whole.begin() + 30), 5));
  Engine larger(model(), {.context = 41});
  EXPECT_EQ(Continued(larger, larger.Restore(folder / "full.lsq"), {}, 1), Alone(whole, 1));
  Engine smaller(model(), {.context = 39});
  EXPECT_THAT([&] { smaller.Restore(folder / "full.lsq"); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("full.lsq")));
}

TEST_F(EngineSharingTest, ASavedSequenceGoesOnInAnotherEngine) {
  const TestFolder folder;
  for (const std::int64_t length : {3, 64, 100}) {
    const Tokens prompt = SomeTokens(length, 1), more = SomeTokens(5, 2);
    {
      Engine engine(model());
      engine.Save(Rest(engine, prompt, 7), folder / "a.lsq");
    }
    Engine engine(model());
    const SequenceId id = engine.Restore(folder / "a.lsq");
    const Tokens whole = Joined(prompt, Alone(prompt, 7));
    EXPECT_EQ(engine.tokens(id), whole);
    EXPECT_EQ(Continued(engine, id, more, 20), Alone(Joined(whole, more), 20));
    EXPECT_EQ(engine.pool().used_pages(), 0);  // others do not share pages that came from a file
  }
  Engine small(model(), {.context = 100});
  EXPECT_THAT([&] { small.Restore(folder / "a.lsq"); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("a.lsq")));
  const SmallModel other(ChooseKernels("auto"), 2);
  Engine of_other(other.transformer);
  EXPECT_THAT([&] { of_other.Restore(folder / "a.lsq"); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("another model")));
}

}  // namespace
}  // namespace longspan
