#include "infer/speculation.h"

#include <gmock/gmock.h>

#include <functional>

#include "base/cancel.h"
#include "base/random.h"
#include "infer/testing/fake_sequence.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Tokens = std::vector<std::int32_t>;

// A model that counts: after token t comes t + 1, modulo 100.
FakeSequence Counter() {
  return FakeSequence(100, [](std::span<const std::int32_t> tokens, std::span<float> logits) {
    std::ranges::fill(logits, 0.0f);
    logits[(tokens.back() + 1) % 100] = 5.0f;
  });
}

// A model with different, undecided logits after every text: all that was read counts.
FakeSequence Undecided() {
  return FakeSequence(12, [](std::span<const std::int32_t> tokens, std::span<float> logits) {
    std::uint64_t text = 1;
    for (const std::int32_t token : tokens) text = text * 31 + static_cast<std::uint64_t>(token) + 1;
    Random random(text, 0, RandomPurpose::kTest);
    for (float& logit : logits) logit = 2 * random.Normal();
  });
}

// Drafts what a function says, and remembers what it was told.
class Scripted : public Drafter {
 public:
  using Script = std::function<Tokens(std::span<const std::int32_t> tokens)>;
  explicit Scripted(Script script) : script_(std::move(script)) {}

  std::span<const std::int32_t> Draft(std::span<const std::int32_t> tokens, std::int64_t limit) override {
    draft_ = script_(tokens);
    if (std::ssize(draft_) > limit) draft_.resize(limit);
    return draft_;
  }
  void Accepted(std::int64_t count) override { accepted.push_back(count); }

  std::vector<std::int64_t> accepted;

 private:
  Script script_;
  Tokens draft_;
};

// Drafts of `count` tokens that go on counting, but for the one at place `wrong`.
Scripted CountingDrafter(std::int64_t count, std::int64_t wrong = -1) {
  return Scripted([=](std::span<const std::int32_t> tokens) {
    Tokens draft;
    for (std::int64_t i = 0; i < count; ++i) {
      draft.push_back(static_cast<std::int32_t>((tokens.back() + 1 + i + (i == wrong ? 50 : 0)) % 100));
    }
    return draft;
  });
}

Sampler Greedy() { return Sampler({.temperature = 0}); }

// Everything that can be seen of a session after it has written.
struct Written {
  Tokens tokens, read;
  std::vector<float> logits;
  StopReason reason{};
  bool operator==(const Written&) const = default;
};

// `handed`: the caller says stop after so many tokens.
Written Write(FakeSequence model, const Tokens& prompt, const GenerateOptions& options, std::int64_t context,
              Sampler sampler, Drafter* drafter, GenerateStats* stats = nullptr, std::size_t handed = 1000) {
  Session session(model, context);
  session.Prefill(prompt);
  Written out;
  out.reason = session.Generate(
      sampler, options,
      [&](std::int32_t token) {
        out.tokens.push_back(token);
        return out.tokens.size() < handed;
      },
      drafter);
  out.read = session.tokens();
  out.logits.assign(session.last_logits().begin(), session.last_logits().end());
  if (stats != nullptr) *stats = session.stats();
  EXPECT_LE(model.length(), context);
  // What is read next follows what was written, not what was guessed.
  if (std::ssize(out.read) < context) {
    session.Prefill(Tokens{7});
    EXPECT_EQ(model.tokens(), session.tokens());
  }
  return out;
}

TEST(Speculation, RejectsAtEveryPlace) {
  const GenerateOptions options{.max_tokens = 31, .stop_tokens = {}};
  const Written plain = Write(Counter(), {1, 2, 3}, options, 100, Greedy(), nullptr);
  ASSERT_EQ(plain.tokens.size(), 31u);
  for (std::int64_t count = 1; count <= 6; ++count) {
    for (std::int64_t wrong = 0; wrong <= count; ++wrong) {  // the last: nothing is wrong
      SCOPED_TRACE(testing::Message() << count << " tokens, wrong at " << wrong);
      Scripted drafter = CountingDrafter(count, wrong);
      GenerateStats stats;
      EXPECT_EQ(Write(Counter(), {1, 2, 3}, options, 100, Greedy(), &drafter, &stats), plain);
      EXPECT_EQ(stats.passes, (30 + wrong) / (wrong + 1));  // 30 tokens are read, wrong + 1 in a pass
      EXPECT_EQ(stats.accepted, 30 - stats.passes);
      EXPECT_LE(stats.proposed, stats.passes * count);
      EXPECT_THAT(drafter.accepted, testing::Each(wrong));
      EXPECT_EQ(std::ssize(drafter.accepted), stats.passes - 1);  // the last draft is not judged
    }
  }
}

TEST(Speculation, WithoutADrafterAPassIsAToken) {
  GenerateStats stats;
  Write(Counter(), {1}, {.max_tokens = 5, .stop_tokens = {}}, 100, Greedy(), nullptr, &stats);
  EXPECT_EQ(stats.passes, 4);
  EXPECT_EQ(stats.proposed, 0);
  EXPECT_EQ(stats.TokensPerPass(), 1);
}

TEST(Speculation, ADrafterMayHaveNothingToSay) {
  Scripted silent([](auto) { return Tokens(); });
  const GenerateOptions options{.max_tokens = 9, .stop_tokens = {}};
  EXPECT_EQ(Write(Counter(), {1}, options, 100, Greedy(), &silent),
            Write(Counter(), {1}, options, 100, Greedy(), nullptr));
  EXPECT_THAT(silent.accepted, IsEmpty());
}

TEST(Speculation, StopsAtAStopTokenInsideADraft) {
  for (std::int32_t stop = 2; stop < 20; ++stop) {
    const GenerateOptions options{.max_tokens = 0, .stop_tokens = {stop}};
    Scripted drafter = CountingDrafter(5);
    const Written written = Write(Counter(), {1}, options, 100, Greedy(), &drafter);
    EXPECT_EQ(written, Write(Counter(), {1}, options, 100, Greedy(), nullptr));
    EXPECT_EQ(written.reason, StopReason::kStopToken);
    EXPECT_EQ(std::ssize(written.tokens), stop - 2);
  }
}

TEST(Speculation, StopsAtTheTokenLimitAndReadsNoFurther) {
  for (std::int64_t limit = 1; limit < 20; ++limit) {
    const GenerateOptions options{.max_tokens = limit, .stop_tokens = {}};
    Scripted drafter = CountingDrafter(5);
    FakeSequence model = Counter();
    Session session(model, 100);
    session.Prefill(Tokens{1});
    Sampler sampler = Greedy();
    Tokens out;
    const auto keep = [&](std::int32_t token) {
      out.push_back(token);
      return true;
    };
    EXPECT_EQ(session.Generate(sampler, options, keep, &drafter), StopReason::kTokenLimit);
    EXPECT_EQ(std::ssize(out), limit);
    EXPECT_EQ(model.forwarded(), limit);  // the prompt's token, and all that were written but the last
    EXPECT_EQ(session.stats().passes, (limit - 1 + 5) / 6);
  }
}

TEST(Speculation, StopsWhereTheContextIsFullInsideADraft) {
  for (std::int64_t context = 2; context < 20; ++context) {
    Scripted drafter = CountingDrafter(5);
    const Written written = Write(Counter(), {1, 2}, {}, context, Greedy(), &drafter);
    EXPECT_EQ(written, Write(Counter(), {1, 2}, {}, context, Greedy(), nullptr));
    EXPECT_EQ(written.reason, StopReason::kContextFull);
    EXPECT_EQ(std::ssize(written.tokens), context - 1);
  }
}

TEST(Speculation, TheCallerMayStopInsideADraft) {
  for (std::size_t handed = 1; handed < 15; ++handed) {
    Scripted drafter = CountingDrafter(5);
    const Written written = Write(Counter(), {1}, {}, 100, Greedy(), &drafter, nullptr, handed);
    EXPECT_EQ(written, Write(Counter(), {1}, {}, 100, Greedy(), nullptr, nullptr, handed));
    EXPECT_EQ(written.reason, StopReason::kCaller);
  }
}

TEST(Speculation, CancelStopsInsideADraft) {
  FakeSequence model = Counter();
  Session session(model, 100);
  session.Prefill(Tokens{1});
  Sampler sampler = Greedy();
  Scripted drafter = CountingDrafter(5);
  int seen = 0;
  const StopReason reason = session.Generate(
      sampler, {},
      [&](std::int32_t) {
        if (++seen == 4) RequestCancel();
        return true;
      },
      &drafter);
  ClearCancel();
  EXPECT_EQ(reason, StopReason::kCancelled);
  EXPECT_EQ(seen, 4);
  EXPECT_EQ(session.tokens(), (Tokens{1, 2, 3, 4, 5}));
  EXPECT_EQ(ArgMax(session.last_logits()), 6);
}

// The second Generate finds guesses left over from the first, and the next of them is wrong.
TEST(Speculation, GeneratesAgain) {
  FakeSequence model = Counter();
  Session session(model, 100);
  session.Prefill(Tokens{1});
  Sampler sampler = Greedy();
  Scripted drafter = CountingDrafter(5, 3);
  Tokens out;
  for (int round = 0; round < 3; ++round) {
    int left = 4;
    session.Generate(
        sampler, {},
        [&](std::int32_t token) {
          out.push_back(token);
          return --left > 0;
        },
        round == 1 ? nullptr : &drafter);
  }
  // The token at which a caller says stop is not read, so it is written again.
  EXPECT_EQ(out, (Tokens{2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11}));
  EXPECT_EQ(session.tokens(), (Tokens{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
}

// The same draws, with the same history, for any sampler: half of the guesses are right.
TEST(Speculation, DrawsTheSameTokens) {
  std::int64_t accepted = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SamplerOptions sampling;
    sampling.temperature = seed % 2 == 0 ? 1.5 : 0;
    sampling.repeat_penalty = 1.5;
    sampling.repeat_window = 5;
    sampling.seed = seed;
    const GenerateOptions options{.max_tokens = 60, .stop_tokens = {11}};
    const Tokens prompt{1, 2, 3};
    const Written plain = Write(Undecided(), prompt, options, 100, Sampler(sampling), nullptr);
    Scripted drafter([&](std::span<const std::int32_t> tokens) {
      Tokens draft;
      Random random(seed, tokens.size(), RandomPurpose::kTest);
      for (std::size_t i = tokens.size() - prompt.size(); i < plain.tokens.size() && draft.size() < 4; ++i) {
        draft.push_back(random.Below(2) == 0 ? plain.tokens[i] : static_cast<std::int32_t>(random.Below(12)));
      }
      return draft;
    });
    GenerateStats stats;
    EXPECT_EQ(Write(Undecided(), prompt, options, 100, Sampler(sampling), &drafter, &stats), plain);
    accepted += stats.accepted;
  }
  EXPECT_GT(accepted, 50);
}

Tokens Repeated(const Tokens& tokens, int times) {
  Tokens all;
  for (int i = 0; i < times; ++i) all.insert(all.end(), tokens.begin(), tokens.end());
  return all;
}

// A copy, because a draft is valid only until the next one.
Tokens DraftOf(Drafter& drafter, const Tokens& tokens, std::int64_t limit = 100) {
  const auto draft = drafter.Draft(tokens, limit);
  return {draft.begin(), draft.end()};
}

TEST(PromptLookup, ProposesWhatFollowed) {
  PromptLookup lookup;
  EXPECT_THAT(DraftOf(lookup, {1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4}), ElementsAre(5, 6, 7));
  PromptLookup cautious;
  EXPECT_THAT(DraftOf(cautious, {1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4}, 2), ElementsAre(5, 6));
  EXPECT_THAT(DraftOf(cautious, {1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4}, 0), IsEmpty());
}

TEST(PromptLookup, NeedsTwoTokensThatStoodThereBefore) {
  PromptLookup lookup;
  for (const Tokens& tokens : {Tokens{}, {1}, {1, 1}, {1, 2, 3, 2}, {1, 2, 3, 4, 5}}) {
    EXPECT_THAT(DraftOf(lookup, tokens), IsEmpty());
  }
}

TEST(PromptLookup, TakesTheLongestMatchAndOfEqualsTheLatest) {
  PromptLookup longest, latest;
  EXPECT_EQ(DraftOf(longest, {5, 1, 2, 30, 6, 1, 2, 40, 5, 1, 2}).front(), 30);
  EXPECT_EQ(DraftOf(latest, {5, 1, 2, 30, 6, 1, 2, 40, 7, 1, 2}).front(), 40);
}

TEST(PromptLookup, FollowsAShortPeriodPastTheEnd) {
  PromptLookup lookup;
  EXPECT_EQ(DraftOf(lookup, Repeated({1, 2, 3}, 8)), Repeated({1, 2, 3}, 5));
}

TEST(PromptLookup, SeesTokensAsTheyComeAndGo) {
  PromptLookup lookup;
  EXPECT_THAT(DraftOf(lookup, {1, 2, 3}), IsEmpty());
  EXPECT_THAT(DraftOf(lookup, {1, 2, 3, 1, 2}), ElementsAre(3, 1));
  EXPECT_THAT(DraftOf(lookup, {1, 2}), IsEmpty());  // cut back
  EXPECT_THAT(DraftOf(lookup, {1, 2, 3}), IsEmpty());
  EXPECT_THAT(DraftOf(lookup, {8, 9}), IsEmpty());
  EXPECT_THAT(DraftOf(lookup, {8, 9, 8, 9}), ElementsAre(8, 9));
  EXPECT_THAT(DraftOf(lookup, {8, 9, 8, 9, 1, 2}), IsEmpty());
}

TEST(PromptLookup, DraftsAreLongWhereTextRepeatsAndStopWhereItDoesNot) {
  PromptLookup lookup;
  // Right every time: up to the most.
  Tokens tokens = {1, 2, 3, 4, 1, 2};
  std::size_t longest = 0;
  for (int i = 0; i < 10; ++i) {
    const Tokens draft = DraftOf(lookup, tokens);
    ASSERT_FALSE(draft.empty());
    lookup.Accepted(std::ssize(draft));
    longest = std::max(longest, draft.size());
    tokens.insert(tokens.end(), draft.begin(), draft.end());
    tokens.push_back(tokens[tokens.size() - 4]);
  }
  EXPECT_GT(tokens.size(), 60u);
  EXPECT_EQ(static_cast<std::int64_t>(longest), PromptLookup::kMostTokens);

  // Wrong every time: the pair 1 2 is never followed by what followed it last.
  std::size_t rows = 0;
  for (std::int32_t i = 0; i < 100; ++i) {
    tokens.insert(tokens.end(), {1000 + i, 1, 2});
    const Tokens draft = DraftOf(lookup, tokens);
    if (!draft.empty()) lookup.Accepted(0);
    if (i >= 10) rows += draft.size();
  }
  EXPECT_GT(rows, 0u);  // it tries again now and then
  EXPECT_LT(rows, 90u);
}

TEST(PromptLookup, WritesTheSameText) {
  // Counts to 100 again and again: from the second time on, all is known.
  PromptLookup lookup;
  const GenerateOptions options{.max_tokens = 500, .stop_tokens = {}};
  GenerateStats stats;
  EXPECT_EQ(Write(Counter(), {1}, options, 1000, Greedy(), &lookup, &stats),
            Write(Counter(), {1}, options, 1000, Greedy(), nullptr));
  EXPECT_LT(stats.passes, 150);

  // Random text: pairs come again by chance, but other tokens follow them.
  PromptLookup again;
  EXPECT_EQ(Write(Undecided(), {1}, options, 1000, Greedy(), &again, &stats),
            Write(Undecided(), {1}, options, 1000, Greedy(), nullptr));
  EXPECT_GT(stats.proposed, 0);
  EXPECT_LT(stats.proposed, 150);
}

TEST(DraftModel, AcceptsAllOfATwinsGuesses) {
  FakeSequence twin = Undecided();
  DraftModel drafter(twin, 4);
  const GenerateOptions options{.max_tokens = 51, .stop_tokens = {}};
  GenerateStats stats;
  EXPECT_EQ(Write(Undecided(), {1, 2}, options, 100, Greedy(), &drafter, &stats),
            Write(Undecided(), {1, 2}, options, 100, Greedy(), nullptr));
  EXPECT_EQ(stats.passes, 10);
  EXPECT_EQ(stats.proposed, 40);
  EXPECT_EQ(stats.accepted, 40);
  EXPECT_EQ(stats.TokensPerPass(), 5);
  EXPECT_LE(twin.forwarded(), 2 + 51);  // nothing is read twice
}

TEST(DraftModel, ForgetsWhatWasRejected) {
  // Counts as the model does, but stumbles at every seventh number.
  FakeSequence small(100, [](std::span<const std::int32_t> tokens, std::span<float> logits) {
    std::ranges::fill(logits, 0.0f);
    logits[(tokens.back() + (tokens.back() % 7 == 0 ? 2 : 1)) % 100] = 5.0f;
  });
  DraftModel drafter(small, 5);
  drafter.Prefill(Tokens{1, 2});
  EXPECT_EQ(small.forwarded(), 2);
  const GenerateOptions options{.max_tokens = 60, .stop_tokens = {}};
  GenerateStats stats;
  const Written written = Write(Counter(), {1, 2}, options, 100, Greedy(), &drafter, &stats);
  EXPECT_EQ(written, Write(Counter(), {1, 2}, options, 100, Greedy(), nullptr));
  EXPECT_GT(stats.accepted, 30);
  EXPECT_LT(stats.accepted, stats.proposed);
  // It holds the model's text and, at most, its last guesses.
  EXPECT_GT(small.length(), 50);
  const std::size_t sure = small.tokens().size() - 5;
  EXPECT_EQ(Tokens(small.tokens().begin(), small.tokens().begin() + static_cast<std::ptrdiff_t>(sure)),
            Tokens(written.read.begin(), written.read.begin() + static_cast<std::ptrdiff_t>(sure)));
}

TEST(DraftModel, CancelIsTheWritersToSee) {
  FakeSequence model = Counter();
  DraftModel drafter(model, 4);
  RequestCancel();
  EXPECT_THAT(DraftOf(drafter, {1, 2}), IsEmpty());
  ClearCancel();
  EXPECT_THAT(DraftOf(drafter, {1, 2}), ElementsAre(3, 4, 5, 6));
  EXPECT_THAT(DraftOf(drafter, {1, 2, 3}, 2), ElementsAre(4, 5));
}

}  // namespace
}  // namespace longspan
