// Calibration text: what a model reads so that its activations and its sensitivity can be measured.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "base/progress.h"
#include "eval/window.h"
#include "model/transformer.h"
#include "quantize/importance.h"

namespace longspan {

// All documents one after another, cut into chunks of `tokens` as llama-imatrix cuts a text: a BOS, where the
// model has one, precedes the text and takes the place of each chunk's first token; the ragged end is
// dropped. Error(kBadOption) where no chunk is filled.
std::vector<TokenDocument> CalibrationChunks(std::span<const TokenDocument> documents,
                                             std::optional<std::int32_t> bos, std::int64_t tokens);

struct CollectOptions {
  std::filesystem::path out;     // saved to while collecting and at the end
  std::int64_t max_chunks = 0;   // 0: all
  std::int64_t save_every = 50;  // chunks
  bool output = false;           // the output matrix's inputs too, where it is not the embedding
};

// Runs the chunks that `matrix` has not read yet through the model and adds the squares of every layer's
// inputs. The same bits for any number of threads, and whether it ran in one go or was interrupted, because a
// file holds the whole state. When cancelled, it saves first. Error(kInvalidFile) where activations are not
// finite.
void CollectImportance(const Transformer& model, std::span<const TokenDocument> chunks,
                       const CollectOptions& options, ImportanceMatrix& matrix,
                       Progress& progress = NoProgress());

// Identifies model and text, so that a run does not go on from another's state. Never 0.
std::uint64_t CalibrationFingerprint(const Transformer& model, std::span<const TokenDocument> chunks);

}  // namespace longspan
