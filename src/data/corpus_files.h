// The files of a corpus, found before any of them is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/skips.h"

namespace longspan {

struct CorpusFile {
  std::filesystem::path path;
  std::uint64_t bytes = 0;  // as stored
  bool named = false;       // given by the user rather than found in a folder
};

struct CorpusFiles {
  std::vector<CorpusFile> files;  // in the order of the inputs; a folder's in the order of their names
  CorpusSkips skips;              // folders that cannot be listed, links that are not followed
};

// The files that `inputs` name, and those below the folders among them. Error(kIo) where an input is missing,
// Error(kBadOption) where two inputs have a file in common, Error(kInvalidFile) where `strict` and a folder
// cannot be listed.
CorpusFiles ListCorpus(const std::vector<std::filesystem::path>& inputs, bool strict = false);

// What is read of a file: all of it, or the lines that begin in [begin, end). Only plain JSON lines are cut.
struct CorpusPiece {
  static constexpr std::uint64_t kToEnd = UINT64_MAX;

  CorpusFile file;
  std::uint64_t begin = 0, end = kToEnd;

  bool whole() const { return begin == 0 && end == kToEnd; }
  std::uint64_t bytes() const { return (end == kToEnd ? file.bytes : end) - begin; }
};

}  // namespace longspan
