// Makes the parts of units with all threads.
//
// Each unit is read by one thread at a time, a batch of documents after the other. All threads tokenise what
// is read, whichever unit it is from, and the batches of a unit are written in its order. A thread that finds
// nothing to tokenise reads on, and begins another unit where all begun ones are being read. So one
// compressed file keeps all threads busy as far as it can be read fast enough, and many files are read by
// many threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/progress.h"
#include "data/corpus.h"
#include "data/encoder.h"
#include "data/prepare/document_filter.h"
#include "data/prepare/units.h"

namespace longspan {

struct PartOptions {
  CorpusOptions corpus;
  LengthLimits limits;
  bool bands = false;  // for near duplicates
};

// All else that decides what is in a part: the settings that MakeUnits asks for.
std::string PartSettings(const PartOptions& options, const TextEncoder& encoder);

// Makes the parts of `units` in `folder`. Those that are done stay whatever happens then; where this throws,
// work on units that are not done is lost. `progress` has been started with the bytes of all units; `done` of
// them were finished before. Error as Corpus and AtomicFile.
void MakeParts(const std::vector<PrepareUnit>& units, const PartOptions& options, const TextEncoder& encoder,
               const std::filesystem::path& folder, std::uint64_t done, Progress& progress);

}  // namespace longspan
