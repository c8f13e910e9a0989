#include "release/preparation.h"

#include <algorithm>

namespace longspan {

PrepareOptions PreparationOf(const DataRecipe& data) {
  PrepareOptions options;
  options.corpus.text_field = data.text_field;
  options.min_tokens = std::max<std::int64_t>(1, data.min_tokens);
  options.max_tokens = data.max_tokens;
  options.slice = data.slice && data.max_tokens > 0;
  options.validation_share = data.validation;
  return options;
}

}  // namespace longspan
