// Files and folders that do not have their final name yet, and the removal of those that killed processes
// left behind.
#pragma once

#include <filesystem>
#include <string_view>

namespace longspan {

// Whether a file or folder of this name is unfinished: "model.gguf.longspan-tmp-0123456789abcdef". Only
// longspan uses such names, and they are never part of a result.
bool IsTemporaryName(std::string_view file_name);

// An unused temporary name in the folder of `path`.
std::filesystem::path TemporaryPath(const std::filesystem::path& path);

// Marks an open temporary file or folder as in use until it is closed or its process ends. Does nothing on a
// file system without locks.
void LockTemporary(int fd);

// Removes the temporary files and folders in `folder` that no living process has locked. A process scans each
// folder only once, so writing many files to one folder costs no more. What cannot be removed stays.
void RemoveStaleTemporaries(const std::filesystem::path& folder);

// Where the links that begin at `path` end, whether or not that exists. Error(kIo) for links in a circle.
std::filesystem::path FollowLinks(std::filesystem::path path);

// An open file that gets its name when it is finished. Where the file system allows it, the file has no name
// before that, and a killed process leaves nothing behind. Elsewhere it has a temporary name and a lock, and
// the next process that writes to the folder removes it.
class TemporaryFile {
 public:
  enum class Naming { kNoneIfPossible, kTemporary };

  // Opens a file in the folder of `target`, which must exist. A new file has the permissions that the umask
  // leaves. A file that replaces another gets the permissions of the other. Error(kIo).
  explicit TemporaryFile(std::filesystem::path target, Naming naming = Naming::kNoneIfPossible);
  ~TemporaryFile();  // removes it, unless Finish was called
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  int fd() const { return fd_; }
  // Gives the file its name, replacing any file of that name, and closes it. On failure sets errno and
  // returns false.
  bool Finish();

 private:
  bool OpenNameless();
  bool OpenNamed();
  void TakePermissions();
  bool Link(const std::filesystem::path& name) const;

  std::filesystem::path target_, name_;  // name_ is empty while the file has none
  int fd_ = -1;
};

}  // namespace longspan
