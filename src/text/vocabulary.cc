#include "text/vocabulary.h"

#include <limits>

#include "base/error.h"

namespace longspan {

void CheckVocabulary(const Vocabulary& vocabulary, std::string_view name) {
  const std::size_t size = vocabulary.tokens.size();
  if (size == 0) Fail(ErrorKind::kInvalidFile, "{}: the vocabulary has no tokens", name);
  if (size > std::numeric_limits<std::int32_t>::max()) {
    Fail(ErrorKind::kInvalidFile, "{}: {} tokens are more than ids can count", name, size);
  }
  const auto check_length = [&](const char* what, std::size_t length) {
    if (length == 0 || length == size) return;
    Fail(ErrorKind::kInvalidFile, "{}: {} {} for {} tokens", name, length, what, size);
  };
  check_length("scores", vocabulary.scores.size());
  check_length("token types", vocabulary.kinds.size());
  const auto check_id = [&](const char* what, std::int32_t id) {
    if (id >= -1 && id < static_cast<std::int64_t>(size)) return;
    Fail(ErrorKind::kInvalidFile, "{}: the {} token's id is {}, of {} tokens", name, what, id, size);
  };
  check_id("bos", vocabulary.bos);
  check_id("eos", vocabulary.eos);
  check_id("unknown", vocabulary.unknown);
  check_id("eot", vocabulary.eot);
  check_id("padding", vocabulary.pad);
}

}  // namespace longspan
