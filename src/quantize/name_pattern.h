// A regular expression over tensor names.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace longspan {

class NamePattern {
 public:
  // Perl's syntax. Error(kBadOption), saying where, if it is broken.
  explicit NamePattern(const std::string& pattern);

  // Whether some part of the name matches. Error(kBadOption) where the pattern takes unreasonably long.
  bool Matches(std::string_view name) const;

 private:
  std::string text_;
  std::shared_ptr<const void> code_;
};

}  // namespace longspan
