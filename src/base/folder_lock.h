// A folder for one process at a time.
#pragma once

#include <filesystem>

namespace longspan {

// The file that is locked. It stays in the folder, and is no result.
inline constexpr const char* kLockFile = ".lock";

// Held while it lives; the system releases it even when the process is killed. Does nothing on a file system
// without locks.
class FolderLock {
 public:
  // kShared keeps out those who want to be alone, and no one else: for processes that share the work.
  enum class Holders { kAlone, kShared };

  // Makes the folder where it is missing. Error(kIo) where that fails, and where another process holds the
  // lock.
  explicit FolderLock(const std::filesystem::path& folder, Holders holders = Holders::kAlone);
  ~FolderLock();

  // Removes the folder if nothing but the lock is in it. Only for a holder that is alone.
  void RemoveFolderIfEmpty() const;

  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  // Writes the number of this process, for the message of the next one.
  void Sign() const;

  std::filesystem::path folder_;
  int fd_;
};

}  // namespace longspan
