// Choosing every tensor's type for a file of a given size, by what each choice does to the model's
// predictions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "eval/window.h"
#include "formats/gguf_reader.h"
#include "model/transformer.h"
#include "quantize/importance.h"
#include "quantize/mix.h"

namespace longspan {

struct TypeSearchOptions {
  std::int64_t bytes = 0;       // of all tensors' data
  MixOverrides overrides = {};  // tensors that these decide stay as they say
  const ImportanceMatrix* importance = nullptr;
  bool allow_requantize = false;
};

struct ChosenType {
  std::string name;  // GGUF's
  Type type = Type::kF32;
  std::int64_t elements = 0;
  std::int64_t bytes = 0;
  double divergence =
      0;  // mean KL that this tensor alone brings, nats a token, as far as it was measured or estimated
  bool searched = false;  // rather than decided by the overrides, or a vector
};

struct TypeSearchResult {
  std::vector<ChosenType> tensors;  // in file order
  std::int64_t bytes = 0;
  std::int64_t elements = 0;
  double divergence = 0;  // the sum over tensors: what the errors bring together where they are small

  // What reproduces the choice: a mix, which names the file's general.file_type, and arguments of --type.
  std::string mix;
  std::vector<std::string> rules;  // "^blk\.(0|3)\.attn_v\.weight$=Q6_K"
};

// Measures (MeasureSensitivity), then spends the bytes (SpendBytes). `file` is the one that `model` runs.
// Types that need an importance matrix are considered where there is one. A tensor may also stay as it is;
// where all can, nothing is measured. Error(kBadOption) where the size cannot be reached, or the file is
// quantised already and the options do not allow that.
TypeSearchResult SearchTypes(const GgufFile& file, const Transformer& model,
                             std::span<const TokenDocument> chunks, const TypeSearchOptions& options,
                             Progress& progress = NoProgress());

// The bytes that a file's tensors would take in a mix.
std::int64_t MixBytes(const GgufFile& file, const Mix& mix, const MixOverrides& overrides);

// Rules for tensors of these types, few and readable: layers that share one are put together.
std::vector<std::string> DescribeRules(std::span<const ChosenType> tensors);

}  // namespace longspan
