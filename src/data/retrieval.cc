#include "data/retrieval.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace longspan {
namespace {

constexpr std::array<std::string_view, 3> kKinds = {"code", "number", "pass key"};
constexpr std::array<std::string_view, 64> kThings = {
    "river",   "garden",  "window", "house",    "horse",   "ship",     "table",  "door",
    "king",    "soldier", "doctor", "church",   "forest",  "mountain", "road",   "bridge",
    "letter",  "book",    "clock",  "mirror",   "candle",  "fire",     "storm",  "island",
    "harbour", "tower",   "castle", "village",  "farm",    "dog",      "bird",   "tree",
    "rose",    "apple",   "bread",  "knife",    "sword",   "coat",     "hat",    "ring",
    "chair",   "lamp",    "wall",   "gate",     "field",   "stone",    "cloud",  "star",
    "moon",    "winter",  "summer", "morning",  "night",   "child",    "mother", "father",
    "brother", "sister",  "friend", "stranger", "captain", "teacher",  "prince", "servant"};
constexpr std::int64_t kTokensAPair = 40;  // of the row: room for a sentence and its question
constexpr std::int64_t kMaxPairs = 32;
constexpr std::int64_t kStopSearch = 48;  // tokens to look ahead for the end of a sentence
constexpr std::int64_t kShortestRun = 6, kLeastEcho = 24;

std::int64_t Size(const std::vector<std::int32_t>& tokens) {
  return static_cast<std::int64_t>(tokens.size());
}

// Every scale in [least, most] is equally likely: there are as many draws from 10 to 20 as from 100 to 200.
std::int64_t LogUniform(std::int64_t least, std::int64_t most, Random& random) {
  const double ratio = static_cast<double>(most + 1) / static_cast<double>(least);
  return std::min(most,
                  static_cast<std::int64_t>(static_cast<double>(least) * std::pow(ratio, random.Uniform())));
}

void Append(ScoredText& text, const std::vector<std::int32_t>& tokens, bool scored) {
  text.tokens.insert(text.tokens.end(), tokens.begin(), tokens.end());
  text.scored.insert(text.scored.end(), tokens.size(), scored);
}

void Score(ScoredText& text, TokenRange range, bool scored) {
  std::fill(text.scored.begin() + range.begin, text.scored.begin() + range.end, scored);
}

}  // namespace

Retrieval::Retrieval(const TextEncoder& encoder) : encoder_(encoder), passkey_(encoder) {
  for (const std::string_view stop : {".", "!", "?", ".\n", ".\n\n", "\n", "\n\n"}) {
    const auto tokens = encoder.encode(fmt::format("a{}", stop));
    if (!tokens.empty()) stops_.push_back(tokens.back());
  }
  min_length_ = std::max(passkey_.MinLength() + passkey_.MaxAnswerLength(), 2 * kTokensAPair);
}

ScoredText Retrieval::PasskeyText(std::int64_t length, Random& random) const {
  const double depth = random.Uniform();
  const PasskeyPrompt prompt = passkey_.Make(length - passkey_.MaxAnswerLength(), depth, random);
  ScoredText text;
  Append(text, prompt.tokens, false);
  for (const TokenRange& range : {prompt.task, prompt.key_line, prompt.question}) Score(text, range, true);
  Score(text, prompt.key_in_line, false);
  Append(text, prompt.answer_tokens, true);
  return text;
}

// Sentences, each followed by its question. Their places are not set yet.
std::vector<Retrieval::Insertion> Retrieval::DrawSentences(std::int64_t length, Random& random) const {
  const std::int64_t most = std::clamp<std::int64_t>(length / kTokensAPair, 1, kMaxPairs);
  const std::int64_t pairs = 1 + random.Below(most);
  std::array<std::string_view, kThings.size()> things = kThings;
  std::vector<Insertion> result;
  for (std::int64_t i = 0; i < pairs; ++i) {
    // A thing is used once, so that a question has one answer.
    std::swap(things[i], things[i + random.Below(std::ssize(things) - i)]);
    const std::string_view kind = kKinds[random.Below(kKinds.size())];
    const std::string what = fmt::format("{} of the {}", kind, things[i]);
    const std::int64_t number = 1 + random.Below(Passkey::kMaxKey);
    result.push_back({0, EncodeAround(encoder_, fmt::format(" The {} is", what), number, "."), false});
    result.push_back(
        {0, EncodeAround(encoder_, fmt::format(" What is the {0}? The {0} is", what), number, "."), true});
  }
  return result;
}

std::int64_t Retrieval::SentenceEnd(const std::vector<std::int32_t>& text, std::int64_t place) const {
  const std::int64_t end = std::min(place + kStopSearch, Size(text));
  for (std::int64_t i = place; i < end; ++i) {
    const std::int32_t token = text[i];
    if (std::find(stops_.begin(), stops_.end(), token) != stops_.end()) return i + 1;
  }
  return place;
}

ScoredText Retrieval::HiddenSentences(std::int64_t length, const TextFn& text_fn, Random& random) const {
  std::vector<Insertion> insertions = DrawSentences(length, random);
  std::int64_t room = length - (encoder_.bos >= 0);
  for (const Insertion& insertion : insertions) room -= Size(insertion.sentence.tokens);
  while (room < 0 && !insertions.empty()) {  // long tokens and a short row: fewer pairs
    for (int i = 0; i < 2; ++i) {
      room += Size(insertions.back().sentence.tokens);
      insertions.pop_back();
    }
  }
  const std::vector<std::int32_t> text = text_fn(room);
  for (std::size_t i = 0; i + 1 < insertions.size(); i += 2) {
    const std::int64_t a = random.Below(Size(text) + 1), b = random.Below(Size(text) + 1);
    insertions[i].place = SentenceEnd(text, std::min(a, b));
    insertions[i + 1].place = std::max(insertions[i].place, SentenceEnd(text, std::max(a, b)));
  }
  // Stable: where a sentence and its question fall on one place, they keep their order.
  std::stable_sort(insertions.begin(), insertions.end(),
                   [](const auto& x, const auto& y) { return x.place < y.place; });

  ScoredText result;
  if (encoder_.bos >= 0) Append(result, {encoder_.bos}, false);
  std::int64_t at = 0;
  for (const auto& [place, sentence, answer] : insertions) {
    Append(result, {text.begin() + at, text.begin() + place}, true);
    const std::int64_t begin = Size(result.tokens);
    Append(result, sentence.tokens, true);
    if (!answer) Score(result, {begin + sentence.number_begin, begin + sentence.number_end}, false);
    at = place;
  }
  Append(result, {text.begin() + at, text.end()}, true);
  return result;
}

ScoredText Retrieval::Echo(std::int64_t length, const TextFn& text_fn, Random& random) const {
  ScoredText result;
  if (encoder_.bos >= 0) Append(result, {encoder_.bos}, false);
  const std::vector<std::int32_t> text = text_fn(length);
  std::int64_t at = 0;  // in the text
  for (std::int64_t room; (room = length - Size(result.tokens)) >= 2 * kShortestRun;) {
    const std::int64_t count = LogUniform(kShortestRun, room / 2, random);
    const std::int64_t most = std::min(room - 2 * count, Size(text) - at);
    const std::int64_t gap = random.Below(2) == 0 || most < 1 ? 0 : LogUniform(1, most, random);
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
    for (std::int32_t& token : tokens) token = static_cast<std::int32_t>(random.Below(encoder_.vocab_size));
    Append(result, tokens, false);
    Append(result, {text.begin() + at, text.begin() + at + gap}, true);
    at += gap;
    const std::int64_t again = Size(result.tokens);
    Append(result, tokens, true);
    Score(result, {again, again + 1}, false);  // nothing predicts that the repetition begins here
  }
  return result;
}

std::int64_t Retrieval::LeastEcho() const { return (encoder_.bos >= 0) + 2 * kShortestRun; }

std::int64_t Retrieval::DrawEchoLength(std::int64_t room, Random& random) const {
  return std::min(LogUniform(kLeastEcho, std::max(kLeastEcho, room), random), room);
}

}  // namespace longspan
