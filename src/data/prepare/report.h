// What became of the documents of a corpus.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/skips.h"

namespace longspan {

struct DocumentCount {
  std::int64_t documents = 0;
  std::int64_t tokens = 0;  // of the texts, without EOS

  void Add(std::int64_t length) {
    ++documents;
    tokens += length;
  }
  void Add(const DocumentCount& other) {
    documents += other.documents;
    tokens += other.tokens;
  }
  bool operator==(const DocumentCount&) const = default;
};

// Of all documents, or of those of one part of the corpus. Found are the kept and those that four reasons
// left out; each document counts for one.
struct DocumentFates {
  std::string subset;  // "" for all, and for those that no part is known of (data/subset.h)
  DocumentCount found, kept, too_short, too_long;
  DocumentCount duplicates;         // the text of an earlier document that is kept
  DocumentCount near_duplicates;    // nearly that (prepare/min_hash.h)
  std::int64_t sliced = 0;          // how many of the kept are cut into pieces
  std::int64_t tokens_cut_off = 0;  // of the kept: last pieces that are too short

  void Add(const DocumentFates& other);
};

// The fates of several parts by name, in the order in which they came. From the 100th name on, all are one
// part, "others".
class FatesBySubset {
 public:
  static constexpr std::int64_t kMostNames = 100;

  std::int64_t Index(const std::string& subset);
  DocumentFates& operator[](std::int64_t index) { return fates_[index]; }
  const std::vector<DocumentFates>& all() const { return fates_; }
  std::vector<DocumentFates> Take() { return std::move(fates_); }

 private:
  std::vector<DocumentFates> fates_;
};

struct PrepareReport {
  DocumentFates total;
  std::vector<DocumentFates> subsets;               // in the order of their names
  std::int64_t train_pieces = 0, train_tokens = 0;  // what the shards hold
  std::int64_t validation_pieces = 0, validation_tokens = 0;
  CorpusSkips skips;
};

}  // namespace longspan
