// A folder that appears whole or not at all.
#pragma once

#include <filesystem>

namespace longspan {

// Files are written below `path()`, a temporary folder beside the final one. Commit renames it into place.
// Without Commit nothing is left behind. The next process that writes to the same place removes what a killed
// process left. A link is followed and kept.
class AtomicFolder {
 public:
  // Error(kBadOption) where `final_path` exists and is anything but an empty folder, or one that
  // cannot be replaced: a mount point or the current folder. Error(kIo) where no
  // folder can be made beside it.
  explicit AtomicFolder(std::filesystem::path final_path);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::filesystem::path& path() const { return temporary_; }
  void Commit();

 private:
  void MakeTemporary();

  std::filesystem::path final_path_, target_, temporary_;  // temporary_ is empty after Commit
  int fd_ = -1;                                            // locks the temporary folder
};

}  // namespace longspan
