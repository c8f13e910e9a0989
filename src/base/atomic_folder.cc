#include "base/atomic_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/temporary.h"

namespace longspan {
namespace fs = std::filesystem;

namespace {

// Whether another file system begins at this folder.
bool IsMountPoint(const fs::path& folder) {
  struct statx info {};
  return ::statx(AT_FDCWD, folder.c_str(), 0, 0, &info) == 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// Error(kBadOption) for an empty folder in whose place no other can be put.
void CheckReplaceable(const fs::path& folder, const fs::path& named) {
  std::error_code error;
  const char* kind = IsMountPoint(folder)                 ? "a mount point"
                     : fs::equivalent(folder, ".", error) ? "the current folder"
                                                          : nullptr;
  if (kind == nullptr) return;
  Fail(ErrorKind::kBadOption, "{}: is {}, which cannot be replaced; name a new folder in it, such as {}",
       named.string(), kind, (named / "model").string());
}

}  // namespace

AtomicFolder::AtomicFolder(fs::path final_path) : final_path_(std::move(final_path)) {
  // "out/" and "out" are the same folder; the temporary one stands beside it, not in it.
  if (!final_path_.has_filename()) final_path_ = final_path_.parent_path();
  target_ = FollowLinks(final_path_);
  std::error_code error;
  const bool exists = fs::exists(target_, error);
  if (exists && !(fs::is_directory(target_, error) && fs::is_empty(target_, error))) {
    Fail(ErrorKind::kBadOption, "{}: exists already; name a new or an empty folder", final_path_.string());
  }
  if (exists) {
    target_ = fs::canonical(target_);
    CheckReplaceable(target_, final_path_);
  }
  if (!exists && target_ == final_path_ && target_.has_parent_path())
    fs::create_directories(target_.parent_path(), error);
  RemoveStaleTemporaries(target_.has_parent_path() ? target_.parent_path() : ".");
  MakeTemporary();
  if (exists) fs::permissions(temporary_, fs::status(target_, error).permissions(), error);
}

void AtomicFolder::MakeTemporary() {
  for (;;) {
    const fs::path name = TemporaryPath(target_);
    if (::mkdir(name.c_str(), 0777) != 0) {
      if (errno == EEXIST) continue;
      Fail(ErrorKind::kIo, "{}: cannot create a folder beside it: {}", final_path_.string(),
           std::strerror(errno));
    }
    // Another process may take it for a stale one until it is locked.
    const int fd = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) continue;
    if (fd < 0) {
      const int error = errno;
      ::rmdir(name.c_str());
      Fail(ErrorKind::kIo, "{}: cannot open a folder beside it: {}", final_path_.string(),
           std::strerror(error));
    }
    LockTemporary(fd);
    if (::access(name.c_str(), F_OK) == 0) {
      fd_ = fd;
      temporary_ = name;
      return;
    }
    ::close(fd);
  }
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
  if (fd_ >= 0) ::close(fd_);
}

void AtomicFolder::Commit() {
  std::error_code error;
  fs::rename(temporary_, target_, error);  // replaces an empty folder
  if (error) Fail(ErrorKind::kIo, "{}: cannot rename into place: {}", final_path_.string(), error.message());
  temporary_.clear();
}

}  // namespace longspan
