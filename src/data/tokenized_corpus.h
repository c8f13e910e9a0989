// Corpora in tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/corpus.h"
#include "data/encoder.h"

namespace longspan {

// A corpus that is tokenised by all threads, a batch at a time.
class TokenizedCorpus {
 public:
  // `encoder` must outlive this.
  TokenizedCorpus(const std::vector<std::filesystem::path>& inputs, const CorpusOptions& options,
                  const TextEncoder& encoder)
      : corpus_(inputs, options), encoder_(encoder) {}

  // The next documents in their order into `batch`, at most `limit`; false at the end. A document that cannot
  // be tokenised is skipped and counted, like everything else that the corpus skips.
  bool Next(std::vector<std::vector<std::int32_t>>& batch, std::int64_t limit = INT64_MAX);

  const Corpus& corpus() const { return corpus_; }

 private:
  Corpus corpus_;
  const TextEncoder& encoder_;
};

struct ReadDocumentsOptions {
  CorpusOptions corpus;
  std::int64_t max_documents = 0;  // 0: all
};

// Texts to measure on.
struct TokenDocuments {
  std::vector<std::vector<std::int32_t>> documents;  // without BOS
  CorpusSkips skips;
};

// The tokens of the documents in `inputs`: corpora, and shards (.lsd), which must be this tokenizer's.
// Error(kInvalidFile) where something was skipped and nothing is left; other errors as Corpus and CheckFits.
TokenDocuments ReadDocuments(const std::vector<std::filesystem::path>& inputs,
                             const ReadDocumentsOptions& options, const TextEncoder& encoder);

}  // namespace longspan
