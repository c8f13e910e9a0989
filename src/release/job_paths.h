// Where a job reads and writes. An input is never an output.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "release/recipe/recipe.h"

namespace longspan {

// Where a job keeps its intermediate results: `<release.out>.work`.
std::filesystem::path WorkFolder(const Recipe& recipe);

// The files and folders behind `inputs`, the entries of `key`: patterns expanded, links followed, each once,
// sorted. What lies in a folder that is there as well is left to the folder. Error(kInvalidFile) for an entry
// that names nothing, with the packages to install.
std::vector<std::filesystem::path> ResolveInputs(const Recipe& recipe, const std::vector<std::string>& inputs,
                                                 std::string_view key = "data.inputs");

struct JobPaths {
  std::filesystem::path out;   // the release folder
  std::filesystem::path work;  // WorkFolder
  // With links resolved; `eval` is empty where the documents held out are measured on.
  std::vector<std::filesystem::path> data, eval;
  std::vector<std::vector<std::filesystem::path>> retention;  // of each entry
};

// The paths of `extend`. Error with the recipe's file, line and key for an input that is missing, where an
// input, the recipe itself among them, is, is within, or holds a folder that the job writes, and where a text
// of data.retention is trained on. Writes nothing.
JobPaths CheckedPaths(const Recipe& recipe);

// The file or folder that `key` names, with links resolved. Error with the recipe's file, line and key where
// it is not there.
std::filesystem::path ResolvedInput(const Recipe& recipe, std::string_view key,
                                    const std::filesystem::path& input);

// Error with the recipe's file, line and key where `output`, which `key` names, is a file, or is, is within,
// or holds one of `inputs`, whose links are resolved.
void CheckOutside(const Recipe& recipe, std::string_view key, const std::filesystem::path& output,
                  std::span<const std::filesystem::path> inputs);

}  // namespace longspan
