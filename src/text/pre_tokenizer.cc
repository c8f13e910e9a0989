#include "text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <string>
#include <utility>

#include "base/error.h"
#include "text/pre_tokenizer_rules.h"
#include "text/utf8.h"

namespace longspan {
namespace {

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
  Pattern(Pattern&& other) noexcept : code(std::exchange(other.code, nullptr)) {}
  Pattern& operator=(Pattern&&) = delete;
  pcre2_code* code;
};

PreTokenizer::PreTokenizer(std::string_view name) {
  const PreTokenizerRule& rule = FindPreTokenizerRule(name);
  for (const std::string_view regex : rule.stages) stages_.emplace_back(regex);
  takes_whole_words_ = rule.takes_whole_words;
}

PreTokenizer::~PreTokenizer() = default;

void PreTokenizer::Split(std::string_view text, const std::function<void(std::string_view)>& each) const {
  while (!text.empty()) {
    const std::size_t valid = ValidUtf8Prefix(text);
    SplitValid(text.substr(0, valid), 0, each);
    text.remove_prefix(valid);
    std::size_t invalid = 0;
    while (invalid < text.size() && FirstUtf8Char(text.substr(invalid)).state != Utf8Char::State::kValid)
      ++invalid;
    if (invalid > 0) each(text.substr(0, invalid));
    text.remove_prefix(invalid);
  }
}

void PreTokenizer::SplitValid(std::string_view text, std::size_t stage,
                              const std::function<void(std::string_view)>& each) const {
  if (text.empty()) return;
  if (stage == stages_.size()) return each(text);
  const pcre2_code* code = stages_[stage].code;
  const MatchData match(code);
  const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.data);
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::size_t at = 0;
  while (at < text.size()) {
    // The text was checked once as a whole; checking it at every word would take quadratic time.
    const int rc = pcre2_match(code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, match.data, nullptr);
    if (rc == PCRE2_ERROR_NOMATCH) break;
    if (rc < 0) Fail(ErrorKind::kInternal, "the pre-tokenizer fails at byte {}: {}", at, Message(rc));
    SplitValid(text.substr(at, span[0] - at), stage + 1, each);
    SplitValid(text.substr(span[0], span[1] - span[0]), stage + 1, each);
    at = span[1];  // beyond span[0], for no branch matches nothing
  }
  SplitValid(text.substr(at), stage + 1, each);
}

}  // namespace longspan
