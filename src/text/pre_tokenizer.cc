#include "text/pre_tokenizer.h"

#include "text/pre_tokenizer_rules.h"
#include "text/utf8.h"

namespace longspan {

PreTokenizer::PreTokenizer(std::string_view name) {
  const PreTokenizerRule& rule = FindPreTokenizerRule(name);
  for (const std::string_view regex : rule.stages) stages_.emplace_back(regex);
  takes_whole_words_ = rule.takes_whole_words;
}

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
  std::size_t at = 0;
  while (const auto match = stages_[stage].Find(text, at)) {
    SplitValid(text.substr(at, match->begin - at), stage + 1, each);
    SplitValid(text.substr(match->begin, match->end - match->begin), stage + 1, each);
    at = match->end;  // beyond match->begin, because no branch matches an empty text
  }
  SplitValid(text.substr(at), stage + 1, each);
}

}  // namespace longspan
