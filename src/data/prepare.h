// Turns text into shards of tokenised documents of the wanted lengths.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/progress.h"
#include "data/corpus.h"
#include "data/encoder.h"

namespace longspan {

struct PrepareOptions {
  CorpusOptions corpus;
  // Documents outside these are left out. Lengths are those of the whole text, without BOS and EOS and before
  // any slicing: a filter for 6k to 8k then keeps documents that are truly that long.
  std::int64_t min_tokens = 1;
  std::int64_t max_tokens = 0;  // 0: no limit
  // Cut longer documents into pieces of max_tokens instead of leaving them out. A last piece that is shorter
  // than min_tokens is dropped.
  bool slice = false;
  // The share of documents, evenly spaced, that goes to validation.lsd. All pieces of a document go together.
  double validation_share = 0;
  bool append_eos = true;  // where the vocabulary has one, and the document's end is kept
};

struct PrepareReport {
  std::int64_t documents = 0;  // found
  std::int64_t kept = 0;       // how many of them are in the shards, whole or sliced
  std::int64_t too_short = 0;
  std::int64_t too_long = 0;                        // and left out; always 0 with slice
  std::int64_t sliced = 0;                          // how many of the kept are cut into pieces
  std::int64_t train_pieces = 0, train_tokens = 0;  // what the shards hold
  std::int64_t validation_pieces = 0, validation_tokens = 0;
  CorpusSkips skips;
};

// What Prepare does with documents, one after the other: it follows from their lengths alone.
class DocumentSorter {
 public:
  enum class Place { kTooShort, kTooLong, kTrain, kValidation };

  explicit DocumentSorter(const PrepareOptions& options);  // Error(kBadOption)

  Place Next(std::int64_t length);  // where the next document goes
  // Where each piece of a document that is kept ends. The first begins at 0, others where the one before
  // ends.
  std::vector<std::int64_t> PieceEnds(std::int64_t length) const;

 private:
  std::int64_t min_tokens_, max_tokens_;
  bool slice_;
  double validation_share_;
  std::int64_t kept_ = 0;
};

// Writes train.lsd, and validation.lsd where documents are held out, into the folder `out`. Existing shards
// are replaced (data/shard_set.h). Documents that cannot be used are left out and counted. Error(kBadOption)
// where no document is left to train on; nothing is written then.
PrepareReport Prepare(const std::vector<std::filesystem::path>& inputs, const TextEncoder& encoder,
                      const PrepareOptions& options, const std::filesystem::path& out, Progress& progress);

}  // namespace longspan
