#include "plan/stage_memory.h"

#include <algorithm>

#include "eval/passkey.h"
#include "eval/window_reader.h"
#include "model/kv_cache.h"
#include "model/weight_id.h"

namespace longspan {

std::vector<MemoryPart> ReadingMemory(const LlamaConfig& c, std::int64_t longest, int models) {
  constexpr std::int64_t kFloat = 4;
  const std::int64_t rows = std::min(WindowReader::kChunk, longest);
  const std::int64_t activations =
      rows * (4 * c.dim + 2 * c.q_dim() + 2 * c.kv_dim() + 3 * c.hidden_dim + c.head_dim);
  return {{"keys and values", models * KvCache::Bytes(c, longest)},
          {"activations and logits", models * kFloat * (activations + WindowReader::kRows * c.vocab_size)}};
}

std::vector<MemoryPart> MergingMemory(const LlamaConfig& c, const TrainOptions& options,
                                      std::int64_t bytes_per_weight) {
  if (options.adapter == AdapterKind::kFull) return {};
  std::int64_t merged = 0, largest = 0;
  for (const Part target : options.TargetParts()) {
    const std::int64_t elements = Traits(target).rows(c) * Traits(target).cols(c);
    merged += c.layers * elements;
    largest = std::max(largest, elements);
  }
  return {{"merged matrices", merged * bytes_per_weight},
          {"the largest matrix in F32, twice", largest * 2 * 4},
          {"the adapter", TrainedParameters(c, options) * 4}};
}

std::int64_t LongestText(const EvalRecipe& eval) {
  std::int64_t longest = eval.LongestWindow();
  if (!eval.passkey.lengths.empty())
    longest = std::max(longest, std::ranges::max(eval.passkey.lengths) + PasskeyOptions{}.max_new_tokens);
  if (eval.by_position.documents > 0) longest = std::max(longest, eval.by_position.max_tokens);
  return longest;
}

}  // namespace longspan
