#include "data/prepare/report.h"

#include <algorithm>

namespace longspan {

void DocumentFates::Add(const DocumentFates& other) {
  for (const auto count :
       {&DocumentFates::found, &DocumentFates::kept, &DocumentFates::too_short, &DocumentFates::too_long,
        &DocumentFates::duplicates, &DocumentFates::near_duplicates}) {
    (this->*count).Add(other.*count);
  }
  sliced += other.sliced;
  tokens_cut_off += other.tokens_cut_off;
}

std::int64_t FatesBySubset::Index(const std::string& subset) {
  const std::string name = std::ssize(fates_) >= kMostNames - 1 ? "others" : subset;
  for (const std::string& wanted : {subset, name}) {
    const auto found = std::ranges::find(fates_, wanted, &DocumentFates::subset);
    if (found != fates_.end()) return found - fates_.begin();
  }
  fates_.emplace_back().subset = name;
  return std::ssize(fates_) - 1;
}

}  // namespace longspan
