// Which documents are nearly the same: MinHash with banding (Broder 1997; Leskovec, Rajaraman and Ullman,
// Mining of Massive Datasets, chapter 3).
//
// A document is the set of its shingles: 5 words in a row, where a word is a run of letters and digits, in
// lower case as far as ASCII goes. 112 hash functions each give the smallest value over the set; two
// documents agree in one of them with a probability that is the similarity of their sets (Jaccard's: shared
// shingles over all shingles). The values form 14 bands of 8. Two documents are taken for near duplicates if
// they agree in all of a band: with a probability of 1 - (1 - s^8)^14 for the similarity s:
//   s   0.5   0.6   0.7   0.8   0.9   0.95
//   p   0.053 0.21  0.56  0.92  0.9996  1
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace longspan {

inline constexpr int kMinHashBands = 14, kMinHashRows = 8, kShingleWords = 5;

using BandKeys = std::array<std::uint64_t, kMinHashBands>;
inline constexpr BandKeys kNoBandKeys{};  // of a document without words, which resembles none

// A hash of each band of `text`. Equal keys mean equal bands, but for one chance in 2^64. A text of fewer
// than 5 words is one shingle.
BandKeys BandKeysOf(std::string_view text);

}  // namespace longspan
