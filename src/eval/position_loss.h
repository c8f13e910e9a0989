// Loss by position: how well the tokens of long documents are predicted, by how much text stands before them.
//
// One pass over a document gives the loss at every context up to its length. Windows would read the document
// again for each context. It shows what a stretched model is for: the loss should fall as text grows, and not
// rise beyond the window that the model was made with.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/progress.h"
#include "eval/window.h"
#include "infer/sequence.h"

namespace longspan {

struct PositionLossOptions {
  // Where buckets end, ascending: {1024, 4096} makes [0, 1024) and [1024, 4096). The last is the context that
  // is read, BOS included.
  std::vector<std::int64_t> bounds;
  std::int64_t documents = 0;  // read at most so many; 0: all that are long enough

  void Validate() const;  // Error(kBadOption)
};

// The tokens with `begin` to `end` - 1 tokens before them, BOS included.
struct PositionLoss {
  std::int64_t begin = 0, end = 0;
  std::int64_t tokens = 0;
  double nll = 0;             // total, nats
  double perplexity = 0;      // exp(nll / tokens)
  double standard_error = 0;  // of perplexity, taking tokens as independent

  bool operator==(const PositionLoss&) const = default;
};

struct PositionLossResult {
  std::int64_t documents = 0;  // read, each to the last bound
  std::vector<PositionLoss> buckets;
  double seconds = 0;
};

// Bounds that double from `first` on and end with `context`.
std::vector<std::int64_t> DoublingBounds(std::int64_t first, std::int64_t context);

// Reads the first documents that fill the last bound, so that all buckets are over the same texts.
// Error(kBadOption) where none does, Error(kInvalidFile) where the model's logits are not numbers.
PositionLossResult MeasurePositionLoss(Sequence& model, std::span<const TokenDocument> documents,
                                       std::optional<std::int32_t> bos, const PositionLossOptions& options,
                                       Progress& progress = NoProgress());

}  // namespace longspan
