// The units of work of `prepare`: each becomes a part on disk that a later run need not make again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus_files.h"

namespace longspan {

struct PrepareUnit {
  std::vector<CorpusPiece> pieces;  // several files, or one, or a piece of one
  std::string name;                 // of its part: 32 digits that stand for all that the part depends on

  std::uint64_t bytes() const;  // as stored
  bool is_piece() const { return !pieces.front().whole(); }
};

// Cuts the files into units, in their order: each alone, but small ones together, up to a quarter of
// `unit_bytes`, and plain files of JSON lines that are larger in pieces of `unit_bytes`. What is compressed
// stays whole. `settings` is a text that says all else that decides what is in a part; path, size and time of
// change stand for a file.
std::vector<PrepareUnit> MakeUnits(const std::vector<CorpusFile>& files, std::uint64_t unit_bytes,
                                   std::string_view text_field, std::string_view settings);

// Which of `parts` shares of the work each unit belongs to, from 0: about as many bytes for each.
std::vector<std::int64_t> ShareOut(const std::vector<PrepareUnit>& units, std::int64_t parts);

}  // namespace longspan
