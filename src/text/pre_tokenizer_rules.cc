#include "text/pre_tokenizer_rules.h"

#include <algorithm>

#include "base/error.h"
#include "formats/byte_reader.h"

namespace longspan {

const std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

// tiktoken's cl100k pattern with digits in groups of at most three, as Meta published Llama 3's.
constexpr std::string_view kLlama3 = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
                                     R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// The same with digits one by one, as Qwen published it.
constexpr std::string_view kQwen2 = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
                                    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Mistral's Tekken, which also cuts where small letters are followed by a capital.
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDigit = R"(\p{N})";

const std::vector<PreTokenizerRule>& Rules() {
  // Of rules with the same stages, the first has the name that is written.
  static const std::vector<PreTokenizerRule> rules = {
      {"llama-bpe", {kLlama3}, true, false, SplitLlama3Words},
      {"llama3", {kLlama3}, true, false, SplitLlama3Words},
      {"llama-v3", {kLlama3}, true, false, SplitLlama3Words},
      {"smaug-bpe", {kLlama3}, false, false, SplitLlama3Words},
      {"gpt-2", {kGpt2Regex}, false, false, SplitGpt2Words},
      {"qwen2", {kQwen2}, false, true, SplitQwen2Words},
      {"deepseek-r1-qwen", {kQwen2}, false, true, SplitQwen2Words},
      {"smollm", {kDigit, kGpt2Regex}, false, false, SplitSmolLmWords},
      {"starcoder", {kDigit, kGpt2Regex}, false, false, SplitSmolLmWords},
      {"tekken", {kTekken}, true},
      // What llama.cpp does without a name.
      {"default", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Regex, R"(\p{N}+)", "[0-9][0-9][0-9]"}, false},
  };
  return rules;
}

// Both cases of each letter, written out, mean the same as the flag i.
std::string Canonical(std::string regex) {
  constexpr std::string_view kWrittenOut = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
  constexpr std::string_view kFlag = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
  if (const std::size_t at = regex.find(kWrittenOut); at != std::string::npos)
    regex.replace(at, kWrittenOut.size(), kFlag);
  return regex;
}

}  // namespace

const PreTokenizerRule& FindPreTokenizerRule(std::string_view name) {
  if (name.empty()) name = "default";
  const auto& rules = Rules();
  const auto rule = std::find_if(rules.begin(), rules.end(), [&](const auto& r) { return r.name == name; });
  if (rule != rules.end()) return *rule;
  std::vector<std::string_view> known;
  for (const PreTokenizerRule& r : rules) known.push_back(r.name);
  Fail(ErrorKind::kUnsupported, "the pre-tokenizer \"{}\" is unknown, expected one of {}", Printable(name),
       fmt::join(known, ", "));
}

const PreTokenizerRule* RecognisePreTokenizer(std::span<const std::string> stages, bool takes_whole_words) {
  for (const PreTokenizerRule& rule : Rules()) {
    const bool same = std::equal(stages.begin(), stages.end(), rule.stages.begin(), rule.stages.end(),
                                 [](const auto& a, const auto& b) { return Canonical(a) == b; });
    if (same && rule.takes_whole_words == takes_whole_words) return &rule;
  }
  return nullptr;
}

}  // namespace longspan
