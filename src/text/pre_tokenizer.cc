#include "text/pre_tokenizer.h"

#include <algorithm>

#include "text/character_class.h"
#include "text/utf8.h"

namespace longspan {

PreTokenizer::PreTokenizer(const PreTokenizerRule& rule)
    : split_words_(rule.split_words), takes_whole_words_(rule.takes_whole_words) {
  if (split_words_ != nullptr) return;
  for (const std::string_view regex : rule.stages) stages_.emplace_back(regex);
}

void PreTokenizer::Split(std::string_view text, WordEnds::Sink each) const {
  WordEnds ends(text, each);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t valid = ValidUtf8Prefix(text.substr(at));
    if (valid > 0 && split_words_ != nullptr)
      split_words_(at, at + valid, ends);
    else
      SplitByStages(text.substr(at, valid), 0, ends);
    at += valid;
    const std::size_t invalid = at;
    while (at < text.size() && FirstUtf8Char(text.substr(at)).state != Utf8Char::State::kValid) ++at;
    if (at > invalid) ends.Push(at);
  }
  ends.Flush();
}

// In no rule's words white space follows a letter, and no expression looks from the one to the other.
std::size_t PreTokenizer::SafeCut(std::string_view text, std::size_t from) {
  for (std::size_t at = std::max<std::size_t>(from, 1); at < text.size(); ++at) {
    if ((text[at] == ' ' || text[at] == '\n') && EndsWithLetter(text.substr(0, at))) return at;
  }
  return text.size();
}

void PreTokenizer::SplitByStages(std::string_view text, std::size_t stage, WordEnds& ends) const {
  if (text.empty()) return;
  if (stage == stages_.size()) {
    ends.Push(static_cast<std::size_t>(text.data() - ends.text().data()) + text.size());
    return;
  }
  std::size_t at = 0;
  while (const auto match = stages_[stage].Find(text, at)) {
    SplitByStages(text.substr(at, match->begin - at), stage + 1, ends);
    SplitByStages(text.substr(match->begin, match->end - match->begin), stage + 1, ends);
    at = match->end;  // beyond match->begin, because no branch matches an empty text
  }
  SplitByStages(text.substr(at), stage + 1, ends);
}

}  // namespace longspan
