#include "base/new_file.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>
#include <system_error>

#include "base/error.h"
#include "base/temporary.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

fs::path FolderOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// One name for each file, whichever links lead to its folder.
fs::path KeyOf(const fs::path& path) {
  std::error_code error;
  const fs::path folder = fs::weakly_canonical(fs::absolute(FolderOf(path), error), error);
  return folder / path.filename();
}

struct KeptFiles {
  std::mutex mutex;
  std::set<fs::path> keys;
};

KeptFiles& Kept() {
  static KeptFiles kept;
  return kept;
}

}  // namespace

void CheckWritable(const fs::path& path) {
  const fs::path target = FollowLinks(path);
  struct stat info;
  if (::lstat(target.c_str(), &info) != 0 && errno != ENOENT && errno != ENOTDIR)
    Fail(ErrorKind::kIo, "{}: cannot be written: {}", path.string(), std::strerror(errno));
  std::error_code error;
  fs::path folder = FolderOf(target);
  // A missing folder is made, but a link into one may lead to a disk that is not mounted.
  while (target == path && fs::status(folder, error).type() == fs::file_type::not_found) {
    const fs::path above = FolderOf(folder);
    if (above == folder) break;
    folder = above;
  }
  if (!fs::is_directory(folder, error)) {
    Fail(ErrorKind::kIo, "{}: cannot be written, because {} is no folder", path.string(), folder.string());
  }
  try {
    const TemporaryFile probe(folder / "probe");
  } catch (const Error&) {
    Fail(ErrorKind::kIo, "{}: cannot be written, because no file can be made in {}: {}", path.string(),
         folder.string(), std::strerror(errno));
  }
}

void KeepIfItAppears(const fs::path& path) {
  KeptFiles& kept = Kept();
  const std::lock_guard lock(kept.mutex);
  kept.keys.insert(KeyOf(FollowLinks(path)));
}

bool IsKeptIfItAppears(const fs::path& path) {
  KeptFiles& kept = Kept();
  const std::lock_guard lock(kept.mutex);
  return !kept.keys.empty() && kept.keys.contains(KeyOf(path));
}

void ReplaceFromNowOn(const fs::path& path) {
  KeptFiles& kept = Kept();
  const std::lock_guard lock(kept.mutex);
  if (!kept.keys.empty()) kept.keys.erase(KeyOf(path));
}

}  // namespace longspan
