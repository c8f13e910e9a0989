// Makes the shards of parts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/progress.h"
#include "data/encoder.h"
#include "data/prepare/document_filter.h"
#include "data/prepare/report.h"
#include "data/prepare/units.h"

namespace longspan {

struct JoinOptions {
  LengthLimits limits;
  double validation_share = 0;
  bool append_eos = true;
  bool near_duplicates = false;
};

// Writes the documents of the parts of `units`, which lie in `folder`, to the shards in `out`, in the order
// of the units: all but duplicates, cut into pieces, and each into the shard where its hash puts it. `skips`
// is what was skipped before the parts were made. Error(kBadOption) where no document is left.
PrepareReport JoinParts(const std::vector<PrepareUnit>& units, const std::filesystem::path& folder,
                        const JoinOptions& options, const TextEncoder& encoder, const CorpusSkips& skips,
                        const std::filesystem::path& out, Progress& progress);

}  // namespace longspan
