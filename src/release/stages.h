// Runs the stages of a job so that an interrupted job goes on where it stopped: a stage is skipped while what
// it reads and what it wrote are unchanged.
//
// In the work folder:
//   stages.json      which stages are done, with digests of what they read and wrote: small, and needed
//   digests.sqlite3  digests of files (release/file_digests.h): large, and can be lost
//   scratch/STAGE-X  checkpoints of a stage that is not done; X stands for everything that the stage reads
//   .lock            held by the running process
//
// Nothing that took time is removed in silence. Each set of inputs has a scratch folder of its own: other
// settings begin a new one, and going back to the earlier settings goes on from the earlier checkpoint. What
// a stage wrote before counts until the stage has run to its end again. A record that cannot be read is an
// error rather than a new beginning.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/folder_lock.h"
#include "base/progress.h"
#include "release/file_digests.h"

namespace longspan {

// What a stage reads. Everything that could change its outputs belongs here; paths themselves do not count,
// only what is behind them, so a work folder may be moved.
struct StageInputs {
  int version = 1;  // of the code that computes the stage: raise it when the same inputs give other outputs
  std::vector<std::string> values;           // settings, as text
  std::vector<std::filesystem::path> files;  // files, and folders with all that is below them
};

// The stages of the job in `work` that have ended, with whatever inputs. None where no record can be read:
// StageRunner says why. For a look from outside; nothing is locked or written.
std::set<std::string> StagesDone(const std::filesystem::path& work);

class StageRunner {
 public:
  // Error(kIo) where another process works in the folder, Error(kBadOption) where the folder holds files but
  // no record, Error(kInvalidFile) and Error(kUnsupported) for a record that is damaged or of another
  // version.
  StageRunner(std::filesystem::path work, Progress& progress);
  StageRunner(const StageRunner&) = delete;
  StageRunner& operator=(const StageRunner&) = delete;

  // Runs `body`, which must write every path of `outputs`, unless a finished run with the same inputs left
  // these outputs as they are. Returns whether it ran. Error(kInternal) for an output that body did not
  // write.
  bool Run(std::string_view name, const StageInputs& inputs,
           const std::vector<std::filesystem::path>& outputs, const std::function<void()>& body);

  // The folder for checkpoints of the stage that runs, for use inside its body. It survives an interruption
  // until a run with the same inputs has ended.
  const std::filesystem::path& Scratch() const { return scratch_; }

  // Time spent in the stage's latest complete run, over its interruptions; 0 where it never finished.
  double Seconds(std::string_view name) const;

  FileDigests& digests() { return *digests_; }
  const std::filesystem::path& work() const { return work_; }

 private:
  struct Output {
    std::string path;
    std::string digest;
  };
  struct Attempt {
    std::string fingerprint;
    double seconds = 0;
    std::vector<Output> outputs;  // where it ended
  };
  struct Record {
    std::optional<Attempt> done;     // the latest that ended
    std::optional<Attempt> running;  // the one under way, or interrupted
  };

  void Load();
  void Save() const;
  std::string Fingerprint(const StageInputs& inputs);
  // Why the stage must run, or nothing.
  std::optional<std::string> Stale(const Record& record, const std::string& fingerprint,
                                   const std::vector<std::filesystem::path>& outputs);
  std::filesystem::path ScratchOf(std::string_view name, std::string_view fingerprint) const;
  void EnterScratch(std::string_view name, std::string_view fingerprint);

  std::filesystem::path work_;
  Progress& progress_;
  FolderLock lock_;
  std::unique_ptr<FileDigests> digests_;
  std::map<std::string, Record, std::less<>> records_;
  std::filesystem::path scratch_;  // of the stage that runs
};

}  // namespace longspan
