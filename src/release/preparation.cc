#include "release/preparation.h"

#include <algorithm>

namespace longspan {

PrepareOptions PreparationOf(const DataRecipe& data) {
  PrepareOptions options;
  options.corpus.text_field = data.text_field;
  options.limits = {std::max<std::int64_t>(1, data.min_tokens), data.max_tokens,
                    data.slice && data.max_tokens > 0};
  options.near_duplicates = data.near_duplicates;
  options.validation_share = data.validation;
  return options;
}

}  // namespace longspan
