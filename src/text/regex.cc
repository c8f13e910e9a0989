#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "text/character_class.h"

namespace longspan {
namespace {

std::string Message(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

// `pattern` with White_Space written out for \s, inside a class and outside, and for \S outside.
std::string WithWhiteSpace(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      if (pattern[i] == '[') in_class = true;
      if (pattern[i] == ']') in_class = false;
      out += pattern[i];
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped == 's' && in_class) {
      out += kWhiteSpaceClass;
    } else if (escaped == 's' || (escaped == 'S' && !in_class)) {
      out += fmt::format("[{}{}]", escaped == 'S' ? "^" : "", kWhiteSpaceClass);
    } else {
      out.append({'\\', escaped});
    }
  }
  return out;
}

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

// The place for a match, one for each thread: a text has a match in every word.
pcre2_match_data* MatchData() {
  static thread_local const std::unique_ptr<pcre2_match_data, FreeMatchData> data(
      pcre2_match_data_create(1, nullptr));
  if (data == nullptr) throw std::bad_alloc();
  return data.get();
}

}  // namespace

Regex::Regex(std::string_view pattern) {
  const std::string regex = WithWhiteSpace(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // PCRE2_UCP: without it the classes would know ASCII only.
  code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(), PCRE2_UTF | PCRE2_UCP,
                        &error, &offset, nullptr);
  if (code_ == nullptr)
    Fail(ErrorKind::kInternal, "the pattern \"{}\" fails at {}: {}", regex, offset, Message(error));
  pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);  // without a JIT, matching is slower but still right
}

Regex::~Regex() { pcre2_code_free(code_); }

Regex::Regex(Regex&& other) noexcept : code_(std::exchange(other.code_, nullptr)) {}

std::optional<Regex::Match> Regex::Find(std::string_view text, std::size_t from) const {
  pcre2_match_data* data = MatchData();
  const int rc = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                             PCRE2_NO_UTF_CHECK, data, nullptr);
  if (rc == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (rc < 0) Fail(ErrorKind::kInternal, "a pattern fails at byte {} of a text: {}", from, Message(rc));
  const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data);
  return Match{span[0], span[1]};
}

}  // namespace longspan
