#include "data/prepare/document_filter.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace longspan {

void CheckLimits(const LengthLimits& limits) {
  if (limits.min_tokens < 1) {
    Fail(ErrorKind::kBadOption, "the least document length is {}, expected at least 1", limits.min_tokens);
  }
  if (limits.max_tokens != 0 && limits.max_tokens < limits.min_tokens) {
    Fail(ErrorKind::kBadOption, "documents of {} to {} tokens: the range is empty", limits.min_tokens,
         limits.max_tokens);
  }
  if (limits.slice && limits.max_tokens == 0) {
    Fail(ErrorKind::kBadOption, "slicing needs the most tokens of a slice");
  }
}

LengthVerdict Judge(std::int64_t length, const LengthLimits& limits) {
  if (length < limits.min_tokens) return LengthVerdict::kTooShort;
  const bool over = limits.max_tokens != 0 && length > limits.max_tokens;
  return over && !limits.slice ? LengthVerdict::kTooLong : LengthVerdict::kFits;
}

std::vector<std::int64_t> PieceEnds(std::int64_t length, const LengthLimits& limits) {
  const std::int64_t step = limits.max_tokens != 0 ? std::min(length, limits.max_tokens) : length;
  std::vector<std::int64_t> ends;
  for (std::int64_t begin = 0; begin < length; begin += step) {
    const std::int64_t end = std::min(begin + step, length);
    if (end - begin < limits.min_tokens) break;
    ends.push_back(end);
  }
  return ends;
}

HeldOutDocuments::HeldOutDocuments(double share) {
  if (!(share >= 0 && share < 1)) {
    Fail(ErrorKind::kBadOption, "a validation share of {}, expected [0, 1)", share);
  }
  bound_ = static_cast<std::uint64_t>(std::ldexp(share, 64));
}

void HeldOutDocuments::Add(const TextHash& hash) {
  ++documents_;
  in_share_ += InShare(hash);
  smallest_ = std::min(smallest_, hash);
  largest_ = std::max(largest_, hash);
}

bool HeldOutDocuments::Contains(const TextHash& hash) const {
  if (bound_ == 0 || documents_ < 2) return false;
  if (in_share_ == 0) return hash == smallest_;
  if (in_share_ == documents_) return hash != largest_;
  return InShare(hash);
}

}  // namespace longspan
