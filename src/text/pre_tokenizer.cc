#include "text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <string>

#include "base/error.h"
#include "formats/byte_reader.h"
#include "text/utf8.h"

namespace longspan {
namespace {

struct Rule {
  std::string_view name;
  const char* regex;
  bool takes_whole_words;
};

// tiktoken's cl100k pattern with digits in groups of at most three, as Meta published Llama 3's.
constexpr const char* kLlama3 = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
                                R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

constexpr std::array kRules = {
    Rule{"llama-bpe", kLlama3, true},
    Rule{"llama3", kLlama3, true},
    Rule{"llama-v3", kLlama3, true},
    Rule{"gpt-2", kGpt2, false},
};

struct MatchData {
  explicit MatchData(const pcre2_code* code) : data(pcre2_match_data_create_from_pattern(code, nullptr)) {
    if (data == nullptr) throw std::bad_alloc();
  }
  ~MatchData() { pcre2_match_data_free(data); }
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;
  pcre2_match_data* data;
};

std::string Message(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

}  // namespace

struct PreTokenizer::Pattern {
  explicit Pattern(std::string_view regex) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    // PCRE2_UCP: without it \s would know ASCII's spaces only.
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(), PCRE2_UTF | PCRE2_UCP,
                         &error, &offset, nullptr);
    if (code == nullptr) {
      Fail(ErrorKind::kInternal, "the pre-tokenizer's pattern fails at {}: {}", offset, Message(error));
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where there is no JIT, matching is slower and still right
  }
  ~Pattern() { pcre2_code_free(code); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;
  pcre2_code* code;
};

PreTokenizer::PreTokenizer(std::string_view name) {
  const auto rule = std::find_if(kRules.begin(), kRules.end(), [&](const Rule& r) { return r.name == name; });
  if (rule == kRules.end()) {
    Fail(ErrorKind::kUnsupported, "the pre-tokenizer \"{}\" is unknown; llama-bpe and gpt-2 are known",
         Printable(name));
  }
  pattern_ = std::make_unique<Pattern>(rule->regex);
  takes_whole_words_ = rule->takes_whole_words;
}

PreTokenizer::~PreTokenizer() = default;

void PreTokenizer::Split(std::string_view text, const std::function<void(std::string_view)>& each) const {
  while (!text.empty()) {
    const std::size_t valid = ValidUtf8Prefix(text);
    SplitValid(text.substr(0, valid), each);
    text.remove_prefix(valid);
    std::size_t invalid = 0;
    while (invalid < text.size() && FirstUtf8Char(text.substr(invalid)).state != Utf8Char::State::kValid)
      ++invalid;
    if (invalid > 0) each(text.substr(0, invalid));
    text.remove_prefix(invalid);
  }
}

void PreTokenizer::SplitValid(std::string_view text,
                              const std::function<void(std::string_view)>& each) const {
  if (text.empty()) return;
  const MatchData match(pattern_->code);
  const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.data);
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::size_t at = 0;
  while (at < text.size()) {
    // The text was checked once as a whole; checking it at every word would take quadratic time.
    const int rc =
        pcre2_match(pattern_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, match.data, nullptr);
    if (rc == PCRE2_ERROR_NOMATCH) break;
    if (rc < 0) Fail(ErrorKind::kInternal, "the pre-tokenizer fails at byte {}: {}", at, Message(rc));
    if (span[0] > at) each(text.substr(at, span[0] - at));
    each(text.substr(span[0], span[1] - span[0]));
    at = span[1];  // beyond span[0], for no branch matches nothing
  }
  if (at < text.size()) each(text.substr(at));
}

}  // namespace longspan
