// A folder that appears whole or not at all.
#pragma once

#include <filesystem>

namespace longspan {

// Files are written below `path()`, a temporary folder beside the final one; Commit renames it into place.
// Without Commit, nothing is left behind.
class AtomicFolder {
 public:
  // Error(kBadOption) where `final_path` exists and is anything but an empty folder, Error(kIo) where no
  // folder can be made beside it.
  explicit AtomicFolder(std::filesystem::path final_path);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::filesystem::path& path() const { return temporary_; }
  void Commit();

 private:
  std::filesystem::path final_path_, temporary_;  // temporary_ is empty after Commit
};

}  // namespace longspan
