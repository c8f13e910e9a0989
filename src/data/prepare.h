// Turns text into shards of tokenised documents of the wanted lengths, each text once.
//
// The input is cut into units of work (prepare/units.h): a large file, a piece of one, or several small
// files. Each becomes a part in a work folder (prepare/part.h), and the parts become the shards
// (prepare/join_parts.h). A part that is there is not made again, so a run that was killed loses only the
// units under way, and several processes may make the parts of one corpus. The shards depend on the input and
// the options alone: not on the number of threads or processes, nor on how often the work was interrupted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/progress.h"
#include "data/corpus.h"
#include "data/encoder.h"
#include "data/prepare/document_filter.h"
#include "data/prepare/report.h"

namespace longspan {

struct PrepareOptions {
  CorpusOptions corpus;
  LengthLimits limits;
  double validation_share = 0;   // of the documents, for validation.lsd (HeldOutDocuments)
  bool append_eos = true;        // where the vocabulary has one, and the document's end is kept
  bool near_duplicates = false;  // leave out documents that are nearly those before (prepare/min_hash.h)
  // Where parts lie until the shards are written; empty: WorkFolderOf. It is made where it is missing, and
  // removed at the end with the parts in it.
  std::filesystem::path work;
  std::uint64_t unit_bytes = std::uint64_t{64} << 20;  // as stored, about (prepare/units.h)
};

// OUT.work
std::filesystem::path WorkFolderOf(const std::filesystem::path& out);

// Writes train.lsd, and validation.lsd where documents are held out, into the folder `out`. Existing shards
// are replaced (data/shard_set.h). Documents that cannot be used are left out and counted. Error(kBadOption)
// where no document is left; nothing is written then.
PrepareReport Prepare(const std::vector<std::filesystem::path>& inputs, const TextEncoder& encoder,
                      const PrepareOptions& options, const std::filesystem::path& out, Progress& progress);

// A share of the work: share `index` of `count`, from 0.
struct PrepareShare {
  std::int64_t index = 0, count = 1;
};

struct ShareReport {
  std::filesystem::path work;
  std::int64_t parts = 0;      // of this share
  std::int64_t all_parts = 0;  // of all shares
  std::int64_t missing = 0;    // how many of these are not there yet
};

// Makes the parts of a share alone. Once no part is missing, Prepare with the same inputs and options joins
// them. Shares may run at once, on several machines that see the same files under the same paths.
ShareReport PreparePart(const std::vector<std::filesystem::path>& inputs, const TextEncoder& encoder,
                        const PrepareOptions& options, const std::filesystem::path& out,
                        const PrepareShare& share, Progress& progress);

}  // namespace longspan
