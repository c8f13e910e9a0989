// What is in a corpus, from reading as much of it as a few seconds allow.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/corpus.h"
#include "data/encoder.h"
#include "data/prepare.h"
#include "data/text_hash.h"

namespace longspan {

struct CorpusSample {
  std::vector<std::int64_t> lengths;  // tokens of each document that was read
  std::vector<TextHash> hashes;       // and of its text
  double share = 1;                   // of the corpus that was read, by the bytes of its files
  double seconds = 0;                 // that reading and tokenising it took

  bool whole() const { return share >= 1; }
};

// Reads documents, in order, until `seconds` have passed and at least one was read. Error as Corpus.
CorpusSample SampleCorpus(const std::vector<std::filesystem::path>& inputs, const CorpusOptions& options,
                          const TextEncoder& encoder, double seconds);

// What Prepare makes of documents with these lengths and hashes, where it is not asked for near duplicates.
struct PreparedLengths {
  std::int64_t documents = 0, tokens = 0;     // that are kept
  std::vector<std::int64_t> train, held_out;  // of the pieces in the shards, EOS included
};
PreparedLengths Prepared(const std::vector<std::int64_t>& lengths, const std::vector<TextHash>& hashes,
                         const PrepareOptions& options, bool eos);

}  // namespace longspan
