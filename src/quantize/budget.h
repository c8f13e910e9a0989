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

// Chooses an option for each tensor, by its index, so that all together take at most `bytes`. Steps from one
// option to a larger one are taken in the order of harm saved per byte, until one does not fit. Up to that
// step, the choice is the optimum. The remaining bytes are filled with the best single changes.
// Error(kBadOption), saying what is possible, where even the smallest options are larger.
std::vector<std::size_t> SpendBytes(std::span<const std::vector<TypeOption>> tensors, std::int64_t bytes);

}  // namespace longspan
