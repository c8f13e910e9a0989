// What becomes of a document, by its length and the hash of its text.
#pragma once

#include <cstdint>
#include <vector>

#include "data/text_hash.h"

namespace longspan {

struct LengthLimits {
  // Documents outside these are left out. Lengths are those of the whole text, without BOS and EOS and before
  // any slicing: a filter for 6k to 8k then keeps documents that are truly that long.
  std::int64_t min_tokens = 1;
  std::int64_t max_tokens = 0;  // 0: no limit
  // Cut longer documents into pieces of max_tokens instead of leaving them out. A last piece that is shorter
  // than min_tokens is dropped.
  bool slice = false;
};

enum class LengthVerdict { kFits, kTooShort, kTooLong };

void CheckLimits(const LengthLimits& limits);  // Error(kBadOption)
LengthVerdict Judge(std::int64_t length, const LengthLimits& limits);
// Where each piece of a document that fits ends. The first begins at 0, others where the one before ends.
std::vector<std::int64_t> PieceEnds(std::int64_t length, const LengthLimits& limits);

// The documents that are held out for validation: those whose hash lies in the first `share` of all hashes.
// So equal texts are on one side, and a document stays on its side when others come or go. Where that would
// hold out none or all of several documents, it is the one of the smallest hash, or all but that of the
// largest. A single document is trained on.
class HeldOutDocuments {
 public:
  explicit HeldOutDocuments(double share);  // Error(kBadOption) unless it is in [0, 1)

  // First all documents that are kept, each once.
  void Add(const TextHash& hash);
  // Then the question.
  bool Contains(const TextHash& hash) const;

 private:
  bool InShare(const TextHash& hash) const { return hash.high < bound_; }

  std::uint64_t bound_ = 0;
  std::int64_t documents_ = 0, in_share_ = 0;
  TextHash smallest_{UINT64_MAX, UINT64_MAX}, largest_;
};

}  // namespace longspan
