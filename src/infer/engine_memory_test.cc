// The engine within a memory limit: which sequences wait, which are read again, which end.
#include <gmock/gmock.h>

#include "base/error.h"
#include "base/file.h"
#include "infer/engine.h"
#include "infer/testing/small_engine.h"

namespace longspan {
namespace {

class EngineMemoryTest : public testing::Test {
 protected:
  const Transformer& model() const { return small_.transformer; }
  static EngineOptions Pages(std::int64_t pages) { return {.cache_bytes = pages * kSmallPageBytes + 100}; }

  const SmallModel small_;
};

// Six requests that would need 18 pages at once. With fewer they wait for each other, and write the same.
TEST_F(EngineMemoryTest, AnyLimitThatHoldsOneHoldsAll) {
  std::vector<Request> requests;
  for (std::uint64_t i = 0; i < 6; ++i)
    requests.push_back(Ask(SomeTokens(50 + 10 * static_cast<int>(i), i), 70, i));
  for (const std::int64_t pages : {3, 4, 5, 7, 11, 18}) {
    for (const bool share : {true, false}) {
      EngineOptions options = Pages(pages);
      options.step_tokens = 40;
      options.share_prefixes = share;
      Engine engine(model(), options);
      std::deque<Outcome> outcomes(requests.size());
      for (std::size_t i = 0; i < requests.size(); ++i) engine.Submit(outcomes[i].Noting(requests[i]));
      std::int64_t most = 0;
      while (!engine.idle()) {
        engine.Step();
        most = std::max(most, engine.pool().used_pages());
      }
      EXPECT_LE(most, pages);
      for (std::size_t i = 0; i < requests.size(); ++i) {
        EXPECT_EQ(outcomes[i].tokens, WrittenAlone(model(), requests[i])) << pages << " pages, request " << i;
        EXPECT_EQ(outcomes[i].finish->reason, StopReason::kTokenLimit) << outcomes[i].finish->message;
      }
      engine.ForgetPrefixes();
      EXPECT_EQ(engine.pool().used_pages(), 0);
    }
  }
}

// Two sequences that fit when they come and outgrow the limit together: the younger gives way and comes back.
TEST_F(EngineMemoryTest, TheYoungerGivesWay) {
  Engine engine(model(), Pages(5));
  Outcome older, younger;
  engine.Submit(older.Noting(Ask(SomeTokens(60, 1), 130)));
  engine.Submit(younger.Noting(Ask(SomeTokens(60, 2), 130)));
  bool gave_way = false;
  while (!engine.idle()) {
    engine.Step();
    gave_way |= engine.waiting() == 1 && !younger.tokens.empty() && !older.finish;
  }
  EXPECT_TRUE(gave_way);
  EXPECT_EQ(older.tokens, WrittenAlone(model(), Ask(SomeTokens(60, 1), 130)));
  EXPECT_EQ(younger.tokens, WrittenAlone(model(), Ask(SomeTokens(60, 2), 130)));
}

TEST_F(EngineMemoryTest, ASequenceThatOutgrowsTheLimitEndsAlone) {
  Engine engine(model(), Pages(3));
  Outcome large, small;
  engine.Submit(large.Noting(Ask(SomeTokens(150, 1), 100)));
  engine.Submit(small.Noting(Ask(SomeTokens(30, 2), 20)));
  RunToEnd(engine);
  EXPECT_EQ(large.finish->reason, StopReason::kOutOfMemory);
  EXPECT_THAT(large.finish->message,
              testing::HasSubstr("needs 0.02 MiB more, but 0.05 MiB of its limit of 0.05 MiB are used"));
  // 192 tokens are read, and one more is written.
  const Tokens alone = WrittenAlone(model(), Ask(SomeTokens(150, 1), 43));
  EXPECT_EQ(large.tokens, alone);
  EXPECT_EQ(small.finish->reason, StopReason::kTokenLimit);
  EXPECT_EQ(small.tokens, WrittenAlone(model(), Ask(SomeTokens(30, 2), 20)));
  engine.ForgetPrefixes();
  EXPECT_EQ(engine.pool().used_pages(), 0);
}

// Resting sequences keep their pages. A request that does not fit beside them ends at once.
TEST_F(EngineMemoryTest, RestingSequencesKeepTheirPages) {
  Engine engine(model(), Pages(3));
  Request request = Ask(SomeTokens(100, 1), 2);
  request.keep = true;
  const SequenceId resting = engine.Submit(request);
  RunToEnd(engine);
  Outcome large, fits;
  engine.Submit(large.Noting(Ask(SomeTokens(100, 2), 2)));
  engine.Submit(fits.Noting(Ask(SomeTokens(30, 3), 5)));
  RunToEnd(engine);
  EXPECT_EQ(large.finish->reason, StopReason::kOutOfMemory);
  EXPECT_THAT(large.finish->message, testing::HasSubstr("limit"));
  EXPECT_EQ(fits.tokens, WrittenAlone(model(), Ask(SomeTokens(30, 3), 5)));
  engine.Release(resting);
  Outcome again;
  engine.Submit(again.Noting(Ask(SomeTokens(100, 2), 2)));
  RunToEnd(engine);
  EXPECT_EQ(again.finish->reason, StopReason::kTokenLimit);
}

TEST_F(EngineMemoryTest, TheLeastRecentlyUsedPrefixGoesFirst) {
  Engine engine(model(), Pages(6));
  const auto shared = [&](std::uint64_t which) {
    return RunTogether(engine, {Ask(SomeTokens(130, which), 1)}).front().finish->shared_tokens;
  };
  EXPECT_EQ(shared(1), 0);
  EXPECT_EQ(shared(2), 0);
  EXPECT_EQ(shared(1), 128);
  EXPECT_EQ(shared(3), 0);  // takes three pages, so one of the second one's two has to go
  EXPECT_EQ(shared(1), 128);
  EXPECT_LT(shared(2), 128);
}

// Two sequences reach the end of the same page in one step, and each has read it for itself. When one of them
// ends, its pages must become free for the other, which needs every page there is.
TEST_F(EngineMemoryTest, DuplicatesOfKnownPagesAreGivenBack) {
  EngineOptions options = Pages(5);
  options.context = 5 * kKvBlock;
  Engine engine(model(), options);
  const Request first = Ask(SomeTokens(10, 1), 90);
  Request second = Ask(first.prompt, 0);
  for (const std::int32_t token : WrittenAlone(model(), first)) second.prompt.push_back(token);
  Outcome shorter, longer;
  engine.Submit(shorter.Noting(first));
  for (int i = 0; i < 54; ++i) engine.Step();  // the next reads its 64th token
  engine.Submit(longer.Noting(second));
  RunToEnd(engine);
  EXPECT_EQ(shorter.finish->reason, StopReason::kTokenLimit);
  EXPECT_EQ(longer.finish->reason, StopReason::kContextFull) << longer.finish->message;
  EXPECT_EQ(longer.tokens, WrittenAlone(model(), second, options.context));
  engine.ForgetPrefixes();
  EXPECT_EQ(engine.pool().used_pages(), 0);
}

// The pages of a file are for its sequence alone until it meets known pages that reach further. It then takes
// all of those. Otherwise no sequence would hold the first of them, and it could not be evicted either.
TEST_F(EngineMemoryTest, ARestoredSequenceLeavesNoPagesThatCannotBeEvicted) {
  const TestFolder folder;
  EngineOptions options = Pages(5);
  options.context = 5 * kKvBlock;
  const Tokens prompt = SomeTokens(150, 1);
  {
    Engine engine(model());
    Request request = Ask(Tokens(prompt.begin(), prompt.begin() + 100), 1);
    request.keep = true;
    const SequenceId id = engine.Submit(request);
    RunToEnd(engine);
    engine.Truncate(id, 100);
    engine.Save(id, folder / "a.lsq");
  }
  Engine engine(model(), options);
  const SequenceId id = engine.Restore(folder / "a.lsq");  // two pages
  RunTogether(engine, {Ask(prompt, 1)});                   // makes two pages known
  Outcome outcome;
  engine.Continue(id, outcome.Noting(Ask(Tokens(prompt.begin() + 100, prompt.end()), 170)));
  RunToEnd(engine);
  EXPECT_EQ(outcome.finish->reason, StopReason::kTokenLimit) << outcome.finish->message;
  EXPECT_EQ(outcome.tokens, WrittenAlone(model(), Ask(prompt, 170), options.context));
}

// A sequence that gives way is read again, but what the cache knew of its prompt is counted once.
TEST_F(EngineMemoryTest, SharedTokensAreCountedOnce) {
  for (const std::int64_t common : {0, 64, 70}) {
    Engine engine(model(), Pages(5));
    Tokens first = SomeTokens(common, 9), second = first;
    for (const std::int32_t token : SomeTokens(30, 1)) first.push_back(token);
    for (const std::int32_t token : SomeTokens(30, 2)) second.push_back(token);
    Outcome older, younger;
    engine.Submit(older.Noting(Ask(first, 256 - std::ssize(first))));
    engine.Submit(younger.Noting(Ask(second, 256 - std::ssize(second))));
    bool gave_way = false;
    while (!engine.idle()) {
      engine.Step();
      gave_way |= engine.waiting() == 1 && !younger.tokens.empty() && !older.finish;
    }
    EXPECT_TRUE(gave_way) << common;
    EXPECT_EQ(older.finish->shared_tokens, 0) << common;
    EXPECT_EQ(younger.finish->shared_tokens, common / 64 * 64) << common;
  }
}

// A file that turns out to be damaged evicts nothing.
TEST_F(EngineMemoryTest, RestoringMakesRoomOnlyForWhatIsWhole) {
  const TestFolder folder;
  Engine engine(model(), Pages(4));
  Request request = Ask(SomeTokens(100, 1), 2);
  request.keep = true;
  const SequenceId id = engine.Submit(request);
  RunToEnd(engine);
  engine.Save(id, folder / "a.lsq");
  engine.Release(id);
  std::string damaged = ReadFile(folder / "a.lsq");
  damaged.back() ^= 1;
  WriteFile(folder / "b.lsq", damaged);
  RunTogether(engine, {Ask(SomeTokens(200, 2), 2)});
  const std::int64_t used = engine.pool().used_pages();
  EXPECT_EQ(used, 3);  // known, and held by no sequence
  EXPECT_THROW(engine.Restore(folder / "b.lsq"), Error);
  EXPECT_EQ(engine.pool().used_pages(), used);
  engine.Restore(folder / "a.lsq");
}

TEST_F(EngineMemoryTest, RestoringMakesRoomToo) {
  const TestFolder folder;
  Engine engine(model(), Pages(3));
  Request request = Ask(SomeTokens(100, 1), 2);
  request.keep = true;
  const SequenceId id = engine.Submit(request);
  RunToEnd(engine);
  engine.Save(id, folder / "a.lsq");
  engine.Release(id);
  RunTogether(engine, {Ask(SomeTokens(130, 2), 2)});  // whose pages stay known
  const SequenceId first = engine.Restore(folder / "a.lsq");
  EXPECT_EQ(engine.tokens(first).size(), 102);
  EXPECT_THAT([&] { engine.Restore(folder / "a.lsq"); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("a.lsq: the cache needs")));
  EXPECT_EQ(engine.pool().used_pages(), 2);
}

}  // namespace
}  // namespace longspan
