// Spending a number of bytes on the types of many tensors so that the sum of their harms is least: the
// multiple-choice knapsack, by Lagrange's multiplier.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/type.h"

namespace longspan {

// One way to store a tensor, and what it costs.
struct TypeOption {
  Type type = Type::kF32;
  std::int64_t bytes = 0;
  double harm = 0;  // in any unit that adds up over tensors
};

// The index of one option for each tensor, together at most `bytes`. Each step from one option to a larger
// one is taken in the order of harm saved per byte, which is the optimum except for the last step, which does
// not fit. The remaining bytes are filled with the best single changes. Error(kBadOption), saying what is
// possible, where even the smallest options are larger.
std::vector<std::size_t> SpendBytes(std::span<const std::vector<TypeOption>> tensors, std::int64_t bytes);

}  // namespace longspan
