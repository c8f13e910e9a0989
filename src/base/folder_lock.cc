#include "base/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/error.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

void MakeFolder(const fs::path& folder) {
  std::error_code error;
  if (fs::is_directory(folder, error)) return;
  if (fs::is_symlink(fs::symlink_status(folder, error))) {
    Fail(ErrorKind::kIo,
         "{}: expected a folder, found a link that leads to none; make that folder, or name another",
         folder.string());
  }
  if (fs::exists(folder, error)) {
    Fail(ErrorKind::kIo, "{}: expected a folder, found a file; name another", folder.string());
  }
  fs::create_directories(folder, error);
  if (error) Fail(ErrorKind::kIo, "{}: cannot create folder: {}", folder.string(), error.message());
}

// The number of a process, or "" where the file is empty or somebody else's.
std::string Holder(int fd) {
  char text[16] = {};
  const ssize_t size = ::pread(fd, text, sizeof text, 0);
  if (size == sizeof text) return "";  // more than any number
  const std::string holder(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  return std::ranges::all_of(holder, [](char c) { return c >= '0' && c <= '9'; }) ? holder : "";
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder) {
  MakeFolder(folder);
  const fs::path path = folder / kLockFile;
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
  if (fd_ < 0) Fail(ErrorKind::kIo, "{}: cannot open: {}", path.string(), std::strerror(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) {
    Sign();
    return;
  }
  if (errno != EWOULDBLOCK) return;
  const std::string holder = Holder(fd_);
  ::close(fd_);
  Fail(ErrorKind::kIo, "{}: another longspan works in this folder{}; wait for it, or stop it",
       folder.string(), holder.empty() ? "" : fmt::format(" (process {})", holder));
}

FolderLock::~FolderLock() { ::close(fd_); }

void FolderLock::Sign() const {
  // A file of this name with other contents is not longspan's, and keeps them.
  if (Holder(fd_).empty() && ::lseek(fd_, 0, SEEK_END) != 0) return;
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd_, 0) == 0) static_cast<void>(::pwrite(fd_, pid.data(), pid.size(), 0) > 0);
}

}  // namespace longspan
