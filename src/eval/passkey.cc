#include "eval/passkey.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>

#include "base/cancel.h"
#include "base/error.h"
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
    if (value < 1 || value > 1'000'000) Fail(ErrorKind::kBadOption, "{} is {}, expected 1 to 1000000", name, value);
  };
  if (lengths.empty()) Fail(ErrorKind::kBadOption, "lengths: none given");
  for (const std::int64_t length : lengths) {
    if (length < 1 || length > (std::int64_t{1} << 31)) Fail(ErrorKind::kBadOption, "length {}: expected 1 to 2^31", length);
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

PasskeyResult Passkey(Sequence& model, const PasskeyMaker& make, const TokenDecoder& decode,
                      const PasskeyOptions& options, Progress& progress) {
  options.Validate();
  const auto start = std::chrono::steady_clock::now();
  PasskeyResult result;
  result.lengths = options.lengths;
  result.depths = options.depths;
  Session session(model, std::ranges::max(options.lengths) + options.max_new_tokens);
  progress.Start("passkey", std::ssize(options.lengths) * options.depths * options.trials, "prompts");
  std::int64_t done = 0, found = 0;
  for (const std::int64_t length : options.lengths) {
    for (std::int64_t i = 0; i < options.depths; ++i) {
      PasskeyCell cell{.length = length, .depth = options.Depth(i), .trials = options.trials};
      for (std::int64_t trial = 0; trial < options.trials; ++trial) {
        const PasskeyQuestion question = make(length, cell.depth, trial);
        if (AnswersRight(session, question, decode, options.max_new_tokens)) ++cell.found;
        progress.Update(++done, fmt::format("{} tokens: {} of {} found", length, found + cell.found, done));
      }
      found += cell.found;
      result.cells.push_back(cell);
    }
  }
  progress.Finish();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace longspan
