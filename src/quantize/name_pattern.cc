#include "quantize/name_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"

namespace longspan {

NamePattern::NamePattern(const std::string& pattern) : text_(pattern) {
  int error;
  PCRE2_SIZE offset;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), 0, &error,
                                   &offset, nullptr);
  if (code == nullptr) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(error, message, sizeof(message));
    Fail(ErrorKind::kBadOption, "{} is not a regular expression: {} at character {}", pattern,
         reinterpret_cast<const char*>(message), offset);
  }
  code_ = std::shared_ptr<const void>(code, [](pcre2_code* c) { pcre2_code_free(c); });
}

bool NamePattern::Matches(std::string_view name) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create_from_pattern(code, nullptr), pcre2_match_data_free);
  const int found =
      pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0, 0, match.get(), nullptr);
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0)
    Fail(ErrorKind::kBadOption, "{} cannot be matched with {}: PCRE2 error {}", text_, name, found);
  return true;
}

}  // namespace longspan
