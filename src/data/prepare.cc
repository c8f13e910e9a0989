#include "data/prepare.h"

#include <algorithm>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "base/folder_lock.h"
#include "base/temporary.h"
#include "data/prepare/join_parts.h"
#include "data/prepare/part.h"
#include "data/prepare/part_maker.h"
#include "data/prepare/units.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

// Whether a file was made by a run with this work folder. It lies among the inputs where the output does.
bool IsOwn(const fs::path& file, const fs::path& work) {
  const fs::path folder = file.parent_path();
  std::error_code error;
  if (folder.filename() != FollowLinks(work).filename() || !fs::equivalent(folder, work, error)) return false;
  return IsPartFile(file) || file.filename() == kLockFile || IsTemporaryName(file.filename().native());
}

class Preparation {
 public:
  Preparation(const std::vector<fs::path>& inputs, const TextEncoder& encoder, const PrepareOptions& options,
              const fs::path& out, Progress& progress)
      : encoder_(encoder),
        options_(options),
        parts_{options.corpus, options.limits, options.near_duplicates},
        work_(options.work.empty() ? WorkFolderOf(out) : options.work),
        progress_(progress) {
    CheckLimits(options.limits);
    HeldOutDocuments checked(options.validation_share);
    CorpusFiles found = ListCorpus(inputs, options.corpus.strict);
    skips_ = std::move(found.skips);
    std::erase_if(found.files, [&](const CorpusFile& file) { return IsOwn(file.path, work_); });
    units_ =
        MakeUnits(found.files, options.unit_bytes, options.corpus.text_field, PartSettings(parts_, encoder));
  }

  // The parts of these units, but for those that are there.
  void Make(const std::vector<PrepareUnit>& units) {
    std::vector<PrepareUnit> missing;
    std::uint64_t done = 0, bytes = 0;
    for (const PrepareUnit& unit : units) {
      bytes += unit.bytes();
      if (IsThere(unit))
        done += unit.bytes();
      else
        missing.push_back(unit);
    }
    const auto there = std::ssize(units) - std::ssize(missing);
    if (there > 0) {
      progress_.Message(
          fmt::format("{}: going on, {} of {} parts are there", work_.string(), there, units.size()));
    }
    if (const std::int64_t foreign = ForeignParts(); foreign > 0) {
      progress_.Message(
          fmt::format("{}: {} parts are of other inputs, times of change or settings; they are "
                      "removed when the shards are written",
                      work_.string(), foreign));
    }
    progress_.Start("prepare", static_cast<std::int64_t>(bytes), "bytes");
    if (done > 0) progress_.Resume(static_cast<std::int64_t>(done));
    try {
      MakeParts(missing, parts_, encoder_, work_, done, progress_);
    } catch (...) {
      const bool some = std::ranges::any_of(units, [&](const auto& unit) { return IsThere(unit); });
      if (some) {
        progress_.Message(
            fmt::format("{}: keeps what is done; the same command goes on from there", work_.string()));
      }
      throw;
    }
    progress_.Finish(fmt::format("{} parts", units.size()));
  }

  PrepareReport Join(const fs::path& out) {
    const JoinOptions options{options_.limits, options_.validation_share, options_.append_eos,
                              options_.near_duplicates};
    return JoinParts(units_, work_, options, encoder_, skips_, out, progress_);
  }

  // Also those of other settings or inputs: they were made on the way to these shards.
  void RemoveParts() const {
    RemoveStaleTemporaries(work_);
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(work_, ignored)) {
      if (IsPartFile(entry.path())) fs::remove(entry.path(), ignored);
    }
  }

  bool IsThere(const PrepareUnit& unit) const { return PartExists(work_, unit.name, encoder_.vocab_size); }
  const fs::path& work() const { return work_; }
  const std::vector<PrepareUnit>& units() const { return units_; }

 private:
  // Parts in the work folder that are of none of the units.
  std::int64_t ForeignParts() const {
    std::set<std::string> names;
    for (const PrepareUnit& unit : units_) names.insert(unit.name);
    std::int64_t count = 0;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(work_, ignored)) {
      const fs::path& file = entry.path();
      count += IsPartFile(file) && file.extension() == ".json" && !names.contains(file.stem().string());
    }
    return count;
  }

  const TextEncoder& encoder_;
  const PrepareOptions& options_;
  PartOptions parts_;
  fs::path work_;
  Progress& progress_;
  CorpusSkips skips_;
  std::vector<PrepareUnit> units_;
};

// Removes a folder in which there is nothing to go on from.
class WorkFolder {
 public:
  explicit WorkFolder(const fs::path& folder) : lock_(folder) {}
  ~WorkFolder() { lock_.RemoveFolderIfEmpty(); }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

 private:
  FolderLock lock_;
};

}  // namespace

fs::path WorkFolderOf(const fs::path& out) {
  fs::path folder = out.has_filename() ? out : out.parent_path();
  return folder += ".work";
}

PrepareReport Prepare(const std::vector<fs::path>& inputs, const TextEncoder& encoder,
                      const PrepareOptions& options, const fs::path& out, Progress& progress) {
  Preparation preparation(inputs, encoder, options, out, progress);
  const WorkFolder work(preparation.work());
  preparation.Make(preparation.units());
  try {
    PrepareReport report = preparation.Join(out);
    preparation.RemoveParts();
    return report;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kBadOption) preparation.RemoveParts();  // there is nothing in them
    throw;
  }
}

ShareReport PreparePart(const std::vector<fs::path>& inputs, const TextEncoder& encoder,
                        const PrepareOptions& options, const fs::path& out, const PrepareShare& share,
                        Progress& progress) {
  if (share.count < 1 || share.index < 0 || share.index >= share.count) {
    Fail(ErrorKind::kBadOption, "part {} of {}, expected one from 1 to the number of parts", share.index + 1,
         share.count);
  }
  Preparation preparation(inputs, encoder, options, out, progress);
  const FolderLock lock(preparation.work(), FolderLock::Holders::kShared);
  const std::vector<std::int64_t> share_of = ShareOut(preparation.units(), share.count);
  std::vector<PrepareUnit> own;
  for (std::size_t i = 0; i < share_of.size(); ++i) {
    if (share_of[i] == share.index) own.push_back(preparation.units()[i]);
  }
  preparation.Make(own);
  const auto missing = [&](const PrepareUnit& unit) { return !preparation.IsThere(unit); };
  return {preparation.work(), std::ssize(own), std::ssize(preparation.units()),
          std::ranges::count_if(preparation.units(), missing)};
}

}  // namespace longspan
