// The release folder: longspan knows what a job put there, and touches nothing else.
//
// The record, release.json in the work folder, lists each file that the job wrote, with its digest. A file
// there is
//   ours       recorded, and with the recorded digest: replaced and removed as the job needs
//   changed    recorded, but with another digest, so that somebody works on it: replaced only with `force`
//   in the way not recorded, but with a name that the job is to write: replaced only with `force`
//   foreign    anything else: accepted only with `keep_foreign`, never touched, and not in SHA256SUMS
// A folder within it can be the job's as a whole, because programs read it as a whole: what they find beside
// a model's files changes the model. There nothing foreign is accepted.
//
// Files are written elsewhere (Staged) and moved here when they are whole (Publish). Their digests are
// recorded before they are moved, so that a process killed at any moment leaves no file that the record does
// not know.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "release/file_digests.h"

namespace longspan {

struct OutputPolicy {
  bool keep_foreign = false;
  bool force = false;
};

// Whose files these are: a job is known by its recipe or by the name of its release, so that either may
// change.
struct JobName {
  std::filesystem::path recipe;
  std::string release;
};

// Copies a file; whole, or not at all.
void CopyFile(const std::filesystem::path& from, const std::filesystem::path& to);

class OutputFolder {
 public:
  // `work` is locked by the caller. Error(kInvalidFile), Error(kUnsupported) for a record that cannot be
  // read, Error(kBadOption) for one of another job.
  OutputFolder(std::filesystem::path folder, std::filesystem::path work, JobName job, OutputPolicy policy,
               FileDigests& digests, Progress& progress);

  // Before any work: Error(kBadOption), which lists the files, unless the job can write all of `names`, and
  // anything in `whole_folders`, by the rules above. Names are relative to the folder.
  void Check(std::span<const std::string> names, std::span<const std::string> whole_folders = {});

  std::filesystem::path Path(const std::string& name) const { return folder_ / name; }
  // The folder in which files are written. Publish moves them to the release folder under the same names.
  const std::filesystem::path& staging() const { return staging_; }
  void Publish(std::span<const std::string> names);
  // The same for a whole folder: an unused place for it in staging(), without what a killed process left
  // there; and all files of it, in place of those that we had in it before.
  std::filesystem::path StageFolder(const std::string& folder) const;
  void PublishFolder(const std::string& folder);
  // Removes our files that have none of these names.
  void RemoveAllBut(std::span<const std::string> names);
  // Digests of our files by name, SHA256SUMS left out.
  std::map<std::string, std::string> Digests() const;

 private:
  enum class State { kAbsent, kOurs, kChanged, kInTheWay };

  void Load();
  void Save() const;
  State StateOf(const std::string& name);
  void Settle();
  std::vector<std::string> Foreign(const std::set<std::string>& names,
                                   std::span<const std::string> whole_folders) const;
  void CheckWholeFolders(std::span<const std::string> foreign,
                         std::span<const std::string> whole_folders) const;

  std::filesystem::path folder_, staging_, record_;
  JobName job_;
  OutputPolicy policy_;
  FileDigests& digests_;
  Progress& progress_;
  std::map<std::string, std::string> files_;   // digests by name
  std::map<std::string, std::string> moving_;  // of files about to be moved: they may be here or not
};

}  // namespace longspan
