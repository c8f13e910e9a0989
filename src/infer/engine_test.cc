// The engine must write what a sequence alone writes, however its tokens are batched and cut.
#include "infer/engine.h"

#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/parallel.h"
#include "base/testing/shared_data.h"
#include "formats/llama2c.h"
#include "infer/fair_shares.h"
#include "infer/loaded_model.h"
#include "infer/testing/small_engine.h"

namespace longspan {
namespace {

// Prompts of many lengths, some of them near those of pages and chunks. Some answers are drawn, some greedy.
std::vector<Request> MixedRequests(std::int64_t vocab_size = 61) {
  std::vector<Request> requests;
  std::uint64_t seed = 0;
  for (const std::int64_t length : {1, 2, 7, 63, 64, 65, 100, 128, 150}) {
    requests.push_back(
        Ask(SomeTokens(length, seed + 1, vocab_size), 20 + static_cast<std::int64_t>(seed), seed));
    ++seed;
  }
  return requests;
}

void ExpectAsAlone(const Transformer& model, const std::vector<Request>& requests,
                   const EngineOptions& options, const std::string& what) {
  Engine engine(model, options);
  const auto outcomes = RunTogether(engine, requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(outcomes[i].tokens, WrittenAlone(model, requests[i])) << what << ", request " << i;
    ASSERT_TRUE(outcomes[i].finish);
    EXPECT_EQ(outcomes[i].finish->reason, StopReason::kTokenLimit) << outcomes[i].finish->message;
    EXPECT_EQ(outcomes[i].finish->written, std::ssize(outcomes[i].tokens));
  }
  engine.ForgetPrefixes();
  EXPECT_EQ(engine.pool().used_pages(), 0) << what;
}

class EngineIsaTest : public testing::TestWithParam<std::string> {};

TEST_P(EngineIsaTest, BatchesAndChunksWriteWhatOneAloneWrites) {
  const SmallModel small(ChooseKernels(GetParam()));
  for (const std::int64_t chunk : {3, 16, 64, 65, 512}) {
    for (const std::int64_t together : {1, 3, 16}) {
      ExpectAsAlone(small.transformer, MixedRequests(),
                    {.step_tokens = chunk, .max_sequences = std::min(chunk, together)},
                    fmt::format("{} tokens a step, {} at a time", chunk, together));
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Isa, EngineIsaTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });

TEST(EngineTest, ThreadsDoNotMatter) {
  const SmallModel small;
  const int kept = Threads();
  for (int threads = 1; threads <= 4; ++threads) {
    SetThreads(threads);
    ExpectAsAlone(small.transformer, MixedRequests(), {.step_tokens = 100},
                  fmt::format("{} threads", threads));
  }
  SetThreads(kept);
}

TEST(EngineTest, ARealModelWritesInABatchWhatItWritesAlone) {
  const LoadedModel model(std::filesystem::path(LONGSPAN_SOURCE_DIR) / "models/longspan-base.gguf");
  std::vector<Request> requests;
  for (const std::string text :
       {"It was a dark and stormy night", "The captain looked at the sea and", "She had never before",
        "\"Sir,\" said he,",
        "In the year of our Lord one thousand eight hundred and twelve, when the emperor"}) {
    const auto seed = static_cast<std::uint64_t>(requests.size());
    requests.push_back(Ask(model.tokenizer().Encode(text), 40, seed));
  }
  ExpectAsAlone(model.transformer(), requests, {.step_tokens = 16}, "base model");
}

TEST(EngineTest, TheStoryModelWritesItsStoriesTogether) {
  const auto weights = SharedData("models/stories260K.bin"), tokens = SharedData("models/tok512.bin");
  if (!weights || !tokens) GTEST_SKIP() << "shared/data/models is absent";
  const TestFolder folder;
  ConvertLlama2c(*weights, *tokens, folder / "stories.gguf");
  const LoadedModel model(folder / "stories.gguf");
  std::vector<Request> requests;
  for (const std::string text : {"Once upon a time", "Lily and Tom", "The dog", "One day, a big"}) {
    requests.push_back(Ask(model.tokenizer().Encode(text), 120));
    requests.push_back(Ask(model.tokenizer().Encode(text), 120, 5));
  }
  ExpectAsAlone(model.transformer(), requests, {.step_tokens = 32}, "stories");
}

TEST(EngineTest, ALongPromptDoesNotStopTheOthers) {
  const SmallModel small;
  Engine engine(small.transformer, {.step_tokens = 10, .max_sequences = 4});
  Outcome first, second, long_one;
  engine.Submit(first.Noting(Ask(SomeTokens(2, 1), 60)));
  engine.Submit(second.Noting(Ask(SomeTokens(3, 2), 60)));
  engine.Step();
  engine.Submit(long_one.Noting(Ask(SomeTokens(200, 3), 2)));
  // The 200 tokens are read 8 at a time. In each of these steps the other two write one token each.
  for (int step = 1; step <= 25; ++step) {
    const StepReport report = engine.Step();
    EXPECT_EQ(report.read, 10);
    EXPECT_EQ(report.written, step < 25 ? 2 : 3) << step;
    EXPECT_EQ(std::ssize(first.tokens), step + 1);
    EXPECT_EQ(std::ssize(second.tokens), step + 1);
  }
  EXPECT_EQ(long_one.tokens.size(), 1);
}

TEST(EngineTest, PromptsShareAStep) {
  const SmallModel small;
  Engine engine(small.transformer, {.step_tokens = 30});
  Outcome long_one, other_long, short_one;
  engine.Submit(long_one.Noting(Ask(SomeTokens(200, 1), 1)));
  engine.Submit(other_long.Noting(Ask(SomeTokens(200, 2), 1)));
  engine.Submit(short_one.Noting(Ask(SomeTokens(8, 3), 1)));
  EXPECT_EQ(engine.Step().written, 1);
  EXPECT_TRUE(short_one.finish);  // as if it had been alone
  EXPECT_EQ(FairShares(30, std::vector<std::int64_t>{200, 8, 200}), (std::vector<std::int64_t>{11, 8, 11}));
  EXPECT_EQ(FairShares(7, std::vector<std::int64_t>{1, 100}), (std::vector<std::int64_t>{1, 6}));
  EXPECT_EQ(FairShares(7, std::vector<std::int64_t>{}), std::vector<std::int64_t>{});
}

TEST(EngineTest, EndsForTheReasonsThatTheRequestGives) {
  const SmallModel small;
  const Tokens prompt = SomeTokens(20, 1);
  const Tokens all = WrittenAlone(small.transformer, Ask(prompt, 30));
  const auto end = [&](Request request, EngineOptions options = {}) {
    Engine engine(small.transformer, options);
    return RunTogether(engine, {std::move(request)}).front();
  };
  {
    Request request = Ask(prompt, 30);
    request.generate.stop_tokens = {all[9]};
    const Outcome outcome = end(request);
    EXPECT_EQ(outcome.finish->reason, StopReason::kStopToken);
    const auto stop = std::ranges::find(all, all[9]);
    EXPECT_EQ(outcome.tokens, Tokens(all.begin(), stop));
  }
  {
    const Outcome outcome = end(Ask(prompt, 0), {.context = 40});
    EXPECT_EQ(outcome.finish->reason, StopReason::kContextFull);
    EXPECT_EQ(outcome.tokens, WrittenAlone(small.transformer, Ask(prompt, 0), 40));
    EXPECT_EQ(outcome.finish->prompt_tokens, 20);
  }
  for (const bool throws : {false, true}) {
    Engine engine(small.transformer);
    Outcome outcome, other;
    Request request = outcome.Noting(Ask(prompt, 30));
    request.on_token = [&](std::int32_t token) {
      outcome.tokens.push_back(token);
      if (outcome.tokens.size() == 4 && throws) throw std::runtime_error("no more paper");
      return outcome.tokens.size() < 4;
    };
    engine.Submit(request);
    engine.Submit(other.Noting(Ask(prompt, 30)));
    RunToEnd(engine);
    EXPECT_EQ(outcome.tokens, Tokens(all.begin(), all.begin() + 4));
    EXPECT_EQ(outcome.finish->reason, throws ? StopReason::kFailed : StopReason::kCaller);
    EXPECT_EQ(outcome.finish->message, throws ? "no more paper" : "");
    EXPECT_EQ(other.tokens, all);
  }
}

TEST(EngineTest, CancelEndsOneRequestWhereverItIs) {
  const SmallModel small;
  Engine engine(small.transformer, {.step_tokens = 20, .max_sequences = 2});
  Outcome writes, reads, waits, stays;
  const SequenceId a = engine.Submit(writes.Noting(Ask(SomeTokens(5, 1), 100)));
  const SequenceId b = engine.Submit(reads.Noting(Ask(SomeTokens(200, 2), 10)));
  const SequenceId c = engine.Submit(waits.Noting(Ask(SomeTokens(50, 3), 10)));
  const SequenceId d = engine.Submit(stays.Noting(Ask(SomeTokens(50, 4), 10)));
  EXPECT_EQ(engine.running(), 0);
  for (int i = 0; i < 3; ++i) engine.Step();
  EXPECT_EQ(engine.running(), 2);
  EXPECT_EQ(engine.waiting(), 2);
  for (const SequenceId id : {a, b, c}) engine.Cancel(id);
  engine.Cancel(c);
  engine.Cancel(12345);
  RunToEnd(engine);
  for (const Outcome* outcome : {&writes, &reads, &waits})
    EXPECT_EQ(outcome->finish->reason, StopReason::kCancelled);
  EXPECT_EQ(writes.tokens.size(), 3);
  EXPECT_TRUE(reads.tokens.empty());
  EXPECT_EQ(stays.tokens, WrittenAlone(small.transformer, Ask(SomeTokens(50, 4), 10)));
  engine.Cancel(d);  // has ended already
  engine.Step();
  engine.ForgetPrefixes();
  EXPECT_EQ(engine.pool().used_pages(), 0);
}

TEST(EngineTest, RefusesWhatCannotBeDone) {
  const SmallModel small;
  Engine engine(small.transformer, {.cache_bytes = 3 * kSmallPageBytes});
  const auto kind = [&](const Request& request) {
    try {
      engine.Submit(request);
    } catch (const Error& e) {
      return std::optional(e.kind());
    }
    return std::optional<ErrorKind>();
  };
  EXPECT_EQ(kind(Ask({}, 1)), ErrorKind::kBadOption);
  EXPECT_EQ(kind(Ask({1, 61}, 1)), ErrorKind::kBadOption);
  EXPECT_EQ(kind(Ask({1, -1}, 1)), ErrorKind::kBadOption);
  EXPECT_EQ(kind(Ask(SomeTokens(257, 1), 1)), ErrorKind::kBadOption);
  EXPECT_EQ(kind(Ask(SomeTokens(193, 1), 1)), ErrorKind::kOutOfMemory);
  Request bad = Ask({1}, 1);
  bad.sampler.top_p = 2;
  EXPECT_EQ(kind(bad), ErrorKind::kBadOption);
  EXPECT_TRUE(engine.idle());
  EXPECT_EQ(engine.Step().read, 0);
  EXPECT_FALSE(engine.WaitForWork(std::chrono::milliseconds(1)));
  EXPECT_THROW(engine.Fork(1), Error);
  EXPECT_THROW(engine.tokens(1), Error);
  EXPECT_THROW(Engine(small.transformer, {.step_tokens = 4, .max_sequences = 5}), Error);
  EXPECT_THROW(Engine(small.transformer, {.cache_bytes = 0}), Error);
}

// Requests come and go from other threads while the engine runs.
TEST(EngineTest, IsFedFromManyThreads) {
  const SmallModel small;
  Engine engine(small.transformer, {.step_tokens = 40, .max_sequences = 4});
  constexpr int kThreads = 3, kEach = 8;
  std::deque<Outcome> outcomes(kThreads * kEach);
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto index = static_cast<std::size_t>(t * kEach + i);
        const SequenceId id =
            engine.Submit(outcomes[index].Noting(Ask(SomeTokens(10 + 9 * i, index + 1), 12)));
        if (i == 3) engine.Cancel(id);
      }
      ++done;
    });
  }
  while (done < kThreads || !engine.idle()) {
    if (engine.WaitForWork(std::chrono::milliseconds(5))) engine.Step();
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    ASSERT_TRUE(outcomes[i].finish) << i;
    const Tokens alone =
        WrittenAlone(small.transformer, Ask(SomeTokens(10 + 9 * static_cast<int>(i % kEach), i + 1), 12));
    if (i % kEach == 3) {
      ASSERT_LE(outcomes[i].tokens.size(), alone.size());
      EXPECT_TRUE(std::ranges::equal(outcomes[i].tokens, std::span(alone).first(outcomes[i].tokens.size())));
    } else {
      EXPECT_EQ(outcomes[i].tokens, alone) << i;
    }
  }
}

TEST(EngineTest, CallbacksMayUseTheEngine) {
  const SmallModel small;
  Engine engine(small.transformer);
  Outcome second, doomed;
  SequenceId id = 0, doomed_id = 0;
  Request first = Ask(SomeTokens(9, 1), 5);
  first.keep = true;
  first.on_token = [&](std::int32_t) {
    EXPECT_THROW(engine.Step(), Error);
    if (doomed_id != 0) engine.Release(std::exchange(doomed_id, 0));
    return true;
  };
  first.on_finish = [&](const Finish&) { engine.Continue(id, second.Noting(Ask(SomeTokens(4, 2), 6))); };
  id = engine.Submit(first);
  doomed_id = engine.Submit(doomed.Noting(Ask(SomeTokens(9, 3), 100)));
  RunToEnd(engine);
  EXPECT_FALSE(doomed.finish);
  Tokens whole = SomeTokens(9, 1);
  for (const auto& part : {WrittenAlone(small.transformer, Ask(SomeTokens(9, 1), 5)), SomeTokens(4, 2)}) {
    whole.insert(whole.end(), part.begin(), part.end());
  }
  EXPECT_EQ(second.tokens, WrittenAlone(small.transformer, Ask(whole, 6)));
  EXPECT_THROW(engine.tokens(id), Error);  // the second request did not keep it
}

}  // namespace
}  // namespace longspan
