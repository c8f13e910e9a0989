#include "data/passkey.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "base/error.h"

namespace longspan {
namespace {

using Tokens = std::vector<std::int32_t>;

constexpr std::string_view kTask =
    "A pass key is hidden somewhere in the long and dull text below. Find it and keep it in mind, "
    "for you will be asked for it at the end.";
constexpr std::array<std::string_view, 5> kFiller = {" The grass is green.", " The sky is blue.",
                                                     " The sun is yellow.", " Here we go.",
                                                     " There and back again."};

void Append(Tokens& to, const Tokens& from) { to.insert(to.end(), from.begin(), from.end()); }

std::int64_t Size(const Tokens& tokens) { return static_cast<std::int64_t>(tokens.size()); }

std::int64_t CommonPrefix(const Tokens& a, const Tokens& b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

// Splits a text into sentences. One ends at a full stop, exclamation or question mark before a space, or at
// the end of a line.
std::vector<std::string_view> Sentences(std::string_view text) {
  std::vector<std::string_view> sentences;
  std::size_t begin = 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    const bool stop = text[i - 1] == '.' || text[i - 1] == '!' || text[i - 1] == '?';
    if ((stop && text[i] == ' ') || text[i - 1] == '\n') {
      sentences.push_back(text.substr(begin, i - begin));
      begin = i;
    }
  }
  if (begin < text.size()) sentences.push_back(text.substr(begin));
  return sentences;
}

}  // namespace

std::vector<std::int32_t> EncodeInside(const TextEncoder& encoder, std::string_view text) {
  // Some tokenizers put a space in front of every text. With a full stop in front, `text` does not get it.
  const Tokens stop = encoder.encode(".");
  Tokens tokens = encoder.encode(fmt::format(".{}", text));
  if (CommonPrefix(stop, tokens) != Size(stop)) return encoder.encode(text);
  tokens.erase(tokens.begin(), tokens.begin() + Size(stop));
  return tokens;
}

NumberSentence EncodeAround(const TextEncoder& encoder, const std::string& before, std::int64_t number,
                            std::string_view after) {
  const std::string middle = fmt::format("{} {}", before, number);
  const Tokens head = EncodeInside(encoder, before), through = EncodeInside(encoder, middle);
  NumberSentence sentence;
  sentence.tokens = EncodeInside(encoder, fmt::format("{}{}", middle, after));
  sentence.number_begin = CommonPrefix(head, sentence.tokens);
  sentence.number_end = std::max(sentence.number_begin, CommonPrefix(through, sentence.tokens));
  return sentence;
}

struct Passkey::Parts {
  NumberSentence line, question;
  std::int64_t question_length() const { return question.number_begin; }
};

Passkey::Parts Passkey::Encode(std::int64_t key) const {
  return {
      EncodeAround(encoder_, " The pass key is", key, fmt::format(". Remember it. {} is the pass key.", key)),
      EncodeAround(encoder_, " What is the pass key? The pass key is", key, ".")};
}

Passkey::Passkey(const TextEncoder& encoder, std::string_view filler) : encoder_(encoder) {
  if (encoder.bos >= 0) task_.push_back(encoder.bos);
  Append(task_, encoder.encode(kTask));
  std::vector<std::string_view> sentences(kFiller.begin(), kFiller.end());
  if (!filler.empty()) sentences = Sentences(filler);
  for (const std::string_view sentence : sentences) {
    sentences_.push_back(Size(filler_));
    Append(filler_, EncodeInside(encoder, sentence));
  }
  if (filler_.empty()) Fail(ErrorKind::kBadOption, "the filler of the passkey test has no tokens");
  // The number of tokens depends on how a key's digits merge. Take the largest number over a sample of keys,
  // and a token or two more for the keys between them.
  constexpr std::int64_t kSampleStep = 97, kMargin = 2;
  std::int64_t prompt = 0, answer = 0;
  for (std::int64_t key = 1; key <= kMaxKey; key += kSampleStep) {
    const Parts parts = Encode(key);
    prompt = std::max(prompt, Size(parts.line.tokens) + parts.question_length());
    answer = std::max(answer, Size(parts.question.tokens) - parts.question_length());
  }
  min_length_ = Size(task_) + prompt + kMargin;
  max_answer_length_ = answer + kMargin;
}

PasskeyPrompt Passkey::Make(std::int64_t length, double depth, Random& random) const {
  if (!(depth >= 0 && depth <= 1)) {
    Fail(ErrorKind::kBadOption, "a passkey depth of {}, expected 0 to 1", depth);
  }
  PasskeyPrompt prompt;
  prompt.key = 1 + random.Below(kMaxKey);
  prompt.answer = std::to_string(prompt.key);
  const Parts parts = Encode(prompt.key);
  const std::int64_t room = length - Size(task_) - Size(parts.line.tokens) - parts.question_length();
  if (room < 0) {
    Fail(ErrorKind::kBadOption, "a passkey prompt of {} tokens, expected at least {}", length, min_length_);
  }

  // The filler runs on from a random sentence. The key line cuts it at the end of the sentence that is
  // nearest to the depth.
  const auto round = Size(filler_);
  const auto first = static_cast<std::size_t>(random.Below(std::ssize(sentences_)));
  const std::int64_t start = sentences_[first];
  const double wanted = depth * static_cast<double>(room);
  std::int64_t before = 0;
  for (std::size_t i = first + 1, rounds = 0;; ++i) {
    if (i == sentences_.size()) {
      i = 0;
      ++rounds;
    }
    const std::int64_t boundary = static_cast<std::int64_t>(rounds) * round + sentences_[i] - start;
    if (boundary > room) break;
    const double over = static_cast<double>(boundary) - wanted, under = wanted - static_cast<double>(before);
    if (over <= under) before = boundary;
    if (over > 0) break;
  }
  // A depth of 1 is right before the question, whether or not a sentence ends there.
  if (depth == 1) before = room;

  Tokens& tokens = prompt.tokens;
  tokens.reserve(length);
  const auto Fill = [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t i = from; i < to; ++i) {
      tokens.push_back(filler_[(start + i) % round]);
    }
  };
  Append(tokens, task_);
  prompt.task = {0, Size(tokens)};
  Fill(0, before);
  const std::int64_t line = Size(tokens);
  Append(tokens, parts.line.tokens);
  prompt.key_line = {line, Size(tokens)};
  prompt.key_in_line = {line + parts.line.number_begin, line + parts.line.number_end};
  Fill(before, room);
  const std::int64_t question = Size(tokens);
  const auto split = parts.question.tokens.begin() + parts.question_length();
  tokens.insert(tokens.end(), parts.question.tokens.begin(), split);
  prompt.question = {question, Size(tokens)};
  prompt.answer_tokens.assign(split, parts.question.tokens.end());
  return prompt;
}

}  // namespace longspan
