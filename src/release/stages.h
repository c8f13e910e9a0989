// Runs the stages of a job so that an interrupted job goes on where it stopped: a stage is skipped while what
// it reads and what it wrote are as they were.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"

namespace longspan {

// What a stage reads. Everything that could change its outputs belongs here; paths themselves do not count,
// only what is behind them, so a work folder may be moved.
struct StageInputs {
  std::vector<std::string> values;           // settings, as text
  std::vector<std::filesystem::path> files;  // files, and folders with all that is below them
};

// Keeps its records in `work`/stages.json. A stage's inputs and outputs are fingerprinted by content; a
// file's digest is remembered with its size and times, so large files are read once.
class StageRunner {
 public:
  // Error(kIo) where another process works in the folder. Unreadable records are reported and begun anew.
  StageRunner(std::filesystem::path work, Progress& progress);
  ~StageRunner();
  StageRunner(const StageRunner&) = delete;
  StageRunner& operator=(const StageRunner&) = delete;

  // Runs `body`, which must write every path of `outputs`, unless a finished run with the same inputs left
  // these outputs as they are. Returns whether it ran. Error(kInternal) for an output that body did not
  // write.
  bool Run(std::string_view name, const StageInputs& inputs,
           const std::vector<std::filesystem::path>& outputs, const std::function<void()>& body);

  // A folder for a stage's checkpoints, to be named inside its body. It survives an interruption, but is
  // emptied before a run with other inputs, so that a stage never goes on from a state that belongs to other
  // settings.
  std::filesystem::path Scratch(std::string_view name) const;

  // Time spent in the stage's latest complete run, over its interruptions; 0 where it never finished.
  double Seconds(std::string_view name) const;

  const std::filesystem::path& work() const { return work_; }

 private:
  struct Output {
    std::string path;
    std::string digest;
  };
  struct Record {
    std::string fingerprint;
    bool finished = false;
    double seconds = 0;
    std::vector<Output> outputs;
  };
  struct FileDigest {
    std::string stamp;  // size and times
    std::string digest;
  };
  class Lock;

  void Load();
  void Save() const;
  std::string Fingerprint(const StageInputs& inputs);
  std::string Digest(const std::filesystem::path& path);  // of a file or a folder's tree
  std::string DigestFile(const std::filesystem::path& path);
  // Why the stage must run, or nothing.
  std::optional<std::string> Stale(const Record* record, const std::string& fingerprint,
                                   const std::vector<std::filesystem::path>& outputs);

  std::filesystem::path work_;
  Progress& progress_;
  std::unique_ptr<Lock> lock_;
  std::map<std::string, Record, std::less<>> records_;
  std::map<std::string, FileDigest, std::less<>> digests_;
};

}  // namespace longspan
