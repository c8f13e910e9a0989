// Which documents of the parts are left out because an earlier one is the same, or nearly.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/progress.h"

namespace longspan {

// Documents are counted through all parts. Memory: a bit for each.
struct Duplicates {
  std::vector<bool> exact;  // the text of an earlier document
  std::vector<bool> near;   // not that, and not the first of its cluster of near duplicates; empty: not asked
};

// `names` are the parts in `folder`, in their order, which decides who is the first; `near` asks for near
// duplicates, for which the parts must have band keys. Needs room in the folder: 24 bytes a document, and 344
// more where near ones are asked for. Error(kIo), and Error(kInvalidFile) for a damaged part.
Duplicates FindDuplicates(const std::filesystem::path& folder, const std::vector<std::string>& names,
                          std::int64_t vocab_size, bool near, Progress& progress);

}  // namespace longspan
