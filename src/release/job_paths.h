// Where a job reads and writes. An input is never an output.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "release/recipe.h"

namespace longspan {

struct JobPaths {
  std::filesystem::path out;   // the release folder
  std::filesystem::path work;  // beside it: OUT.work
  // With links resolved; `eval` is empty where the documents held out are measured on.
  std::vector<std::filesystem::path> data, eval;
};

// Error(kInvalidFile) for a base or an input that is missing, and where one is, is within, or holds a folder
// that the job writes. Writes nothing.
JobPaths CheckedPaths(const Recipe& recipe);

// The second of these checks, for some inputs whose links are resolved.
void CheckOutside(const JobPaths& paths, std::span<const std::filesystem::path> inputs);

}  // namespace longspan
