// Regular expressions over UTF-8, by PCRE2.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

// PCRE2's compiled expression.
struct pcre2_real_code_8;

namespace longspan {

// Immutable, and so safe to use from several threads.
class Regex {
 public:
  // `pattern` is one of ours: one that does not compile is an internal error. \s and \S stand for Unicode's
  // White_Space, as in the references' engines.
  explicit Regex(std::string_view pattern);
  ~Regex();
  Regex(Regex&& other) noexcept;
  Regex& operator=(Regex&&) = delete;

  struct Match {
    std::size_t begin, end;
  };
  // The first match in `text` at or after `from`. `text` is valid UTF-8, which is not checked again: checking
  // it at every match would take quadratic time.
  std::optional<Match> Find(std::string_view text, std::size_t from) const;

 private:
  pcre2_real_code_8* code_;
};

}  // namespace longspan
