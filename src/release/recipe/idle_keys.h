// The keys that have no meaning beside the value of another, such as the rank where all weights are trained.
// Nothing that somebody wrote is ignored in silence, so they are refused, and programs do not write them.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "release/recipe/recipe.h"

namespace longspan {

struct IdleKey {
  std::string_view name;  // "train.rank"
  std::string beside;     // "with train.adapter: full"
};

// All of them, given or not.
std::vector<IdleKey> IdleKeys(const Recipe& recipe);

inline bool IsIdle(const std::vector<IdleKey>& idle, std::string_view key) {
  return std::ranges::find(idle, key, &IdleKey::name) != idle.end();
}

}  // namespace longspan
