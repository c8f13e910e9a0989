// Attention on the codes of quantised pages: integer dot products, where attention on floats would widen
// every code first.
//
// Scores are K q^T with queries rounded to 8 bits, one scale for each query. K and q are rotated
// (kv_layout.h), so no channel of a query is much larger than the rest. Numerators of probabilities, times
// the scales of V, are rounded to 16 bits, one scale for each page and block of 32 dimensions. The softmax is
// in floats.
#pragma once

#include <span>
#include <string_view>

#include "kernels/kernels.h"

namespace longspan {

// One instruction set's implementation.
struct Int8Attention {
  // Whether a sequence can be attended to this way: its pages are of Q8_0 or Q4_0, heads of whole pairs of
  // blocks.
  bool (*supports)(const AttentionShape& shape, const AttentionSequence& sequence);
  // Kernels::Attention, for sequences that are supported.
  void (*attention)(const AttentionShape& shape, std::span<const AttentionSequence> sequences);
};

// For "avx512", if the machine has VNNI. Otherwise null: without it integers are no faster than floats.
const Int8Attention* Int8AttentionFor(std::string_view isa);

}  // namespace longspan
