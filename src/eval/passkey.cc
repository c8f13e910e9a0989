#include "eval/passkey.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "base/random.h"
#include "infer/session.h"

namespace longspan {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool AnswersRight(Session& session, const PasskeyQuestion& question, const TokenDecoder& decode,
                  std::int64_t max_new_tokens) {
  session.PrefillShared(question.tokens);
  Sampler greedy({.temperature = 0});
  std::vector<std::int32_t> answer;
  session.Generate(greedy, {.max_tokens = max_new_tokens, .stop_tokens = {}}, [&](std::int32_t token) {
    answer.push_back(token);
    // Once a character follows the first integer, nothing later can change it.
    const std::string text = decode(answer);
    const auto digit = std::ranges::find_if(text, IsDigit);
    return std::find_if_not(digit, text.end(), IsDigit) == text.end();
  });
  ThrowIfCancelled();
  return FirstInteger(decode(answer)) == question.key;
}

}  // namespace

double PasskeyOptions::Depth(std::int64_t i) const {
  return depths == 1 ? 0.5 : static_cast<double>(i) / static_cast<double>(depths - 1);
}

void PasskeyOptions::Validate() const {
  const auto check = [](std::int64_t value, const char* name) {
    if (value < 1 || value > 1'000'000)
      Fail(ErrorKind::kBadOption, "{} is {}, expected 1 to 1000000", name, value);
  };
  if (lengths.empty()) Fail(ErrorKind::kBadOption, "lengths: none given");
  for (const std::int64_t length : lengths) {
    if (length < 1 || length > (std::int64_t{1} << 31))
      Fail(ErrorKind::kBadOption, "length {}: expected 1 to 2^31", length);
  }
  check(depths, "depths");
  check(trials, "trials");
  check(max_new_tokens, "max new tokens");
}

double PasskeyResult::Accuracy(std::size_t length) const {
  std::int64_t found = 0, trials = 0;
  for (std::size_t depth = 0; depth < static_cast<std::size_t>(depths); ++depth) {
    found += at(length, depth).found;
    trials += at(length, depth).trials;
  }
  return trials == 0 ? 0.0 : static_cast<double>(found) / static_cast<double>(trials);
}

std::optional<std::int64_t> FirstInteger(std::string_view text) {
  const auto begin = std::ranges::find_if(text, IsDigit);
  const auto end = std::find_if_not(begin, text.end(), IsDigit);
  const std::string digits(begin, end);
  std::int64_t value = 0;
  const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

PasskeyResult MeasurePasskey(Sequence& model, const PasskeyMaker& make, const TokenDecoder& decode,
                             const PasskeyOptions& options, Progress& progress) {
  options.Validate();
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t prompts = options.depths * options.trials;  // at each length
  PasskeyResult result;
  result.lengths = options.lengths;
  result.depths = options.depths;
  Session session(model, std::ranges::max(options.lengths) + options.max_new_tokens);
  progress.Start("passkey",
                 prompts * std::accumulate(options.lengths.begin(), options.lengths.end(), std::int64_t{0}),
                 "tokens");
  std::int64_t tokens_done = 0;
  for (const std::int64_t length : options.lengths) {
    std::vector<PasskeyTally> tallies;
    std::vector<PasskeyQuestion> questions;
    for (std::int64_t i = 0; i < prompts; ++i) {
      const double depth = options.Depth(i / options.trials);
      if (i % options.trials == 0)
        tallies.push_back({.length = length, .depth = depth, .trials = options.trials});
      questions.push_back(make(length, depth, i % options.trials));
    }
    // In the order of their tokens each prompt follows the one it shares most with, so that reading all of
    // them costs no more than reading their common tree.
    std::vector<std::int64_t> order(questions.size());
    std::iota(order.begin(), order.end(), 0);
    const auto question = [&](std::int64_t i) -> const PasskeyQuestion& { return questions[i]; };
    std::ranges::stable_sort(
        order, [&](std::int64_t a, std::int64_t b) { return question(a).tokens < question(b).tokens; });
    std::int64_t done = 0, found = 0;
    for (const std::int64_t i : order) {
      if (AnswersRight(session, question(i), decode, options.max_new_tokens)) {
        ++tallies[i / options.trials].found;
        ++found;
      }
      progress.Update(tokens_done += length, fmt::format("{} tokens: {} of {} found", length, found, ++done));
    }
    result.tallies.insert(result.tallies.end(), tallies.begin(), tallies.end());
  }
  progress.Finish();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

PasskeyMaker PasskeyPrompts(const Passkey& passkey, std::uint64_t seed) {
  return [&passkey, seed](std::int64_t length, double depth, std::int64_t trial) {
    // One stream for each length, depth and trial.
    const auto place =
        static_cast<std::uint64_t>(length) * 1001 + static_cast<std::uint64_t>(std::lround(depth * 1000));
    Random random(seed, place * 1'000'000 + static_cast<std::uint64_t>(trial), RandomPurpose::kPasskey);
    PasskeyPrompt prompt = passkey.Make(length, depth, random);
    return PasskeyQuestion{.tokens = std::move(prompt.tokens), .key = prompt.key};
  };
}

}  // namespace longspan
