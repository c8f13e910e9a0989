// The engine within a limit of memory: who waits, who is read again, who ends.
#include <gmock/gmock.h>

#include "base/error.h"
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

// Resting sequences are not taken away from their owner: what does not fit beside them ends at once.
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
  EXPECT_EQ(shared(3), 0);  // takes three pages: of the second one's two, one has to go
  EXPECT_EQ(shared(1), 128);
  EXPECT_LT(shared(2), 128);
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
