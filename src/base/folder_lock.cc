#include "base/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

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

// Whether the open file still is the one of this name.
bool IsNamed(int fd, const fs::path& path) {
  struct stat open {
  }, named{};
  return ::fstat(fd, &open) == 0 && ::stat(path.c_str(), &named) == 0 && open.st_ino == named.st_ino &&
         open.st_dev == named.st_dev;
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder, Holders holders) : folder_(folder) {
  const fs::path path = folder / kLockFile;
  constexpr int kTries = 100;  // another process may remove the folder, and it is made again
  for (int i = 0;; ++i) {
    MakeFolder(folder);
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
    if (fd_ < 0 && errno == ENOENT && i < kTries) continue;
    if (fd_ < 0) Fail(ErrorKind::kIo, "{}: cannot open: {}", path.string(), std::strerror(errno));
    if (::flock(fd_, (holders == Holders::kAlone ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) break;
    if (IsNamed(fd_, path)) {
      if (holders == Holders::kAlone) Sign();
      return;
    }
    ::close(fd_);
  }
  if (errno != EWOULDBLOCK) return;
  const std::string holder = Holder(fd_);
  ::close(fd_);
  Fail(ErrorKind::kIo, "{}: another longspan works in this folder{}; wait for it, or stop it",
       folder.string(), holder.empty() ? "" : fmt::format(" (process {})", holder));
}

void FolderLock::RemoveFolderIfEmpty() const {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    if (entry.path().filename() != kLockFile) return;
  }
  if (Holder(fd_).empty() && ::lseek(fd_, 0, SEEK_END) != 0) return;  // somebody else's file
  fs::remove(folder_ / kLockFile, ignored);
  fs::remove(folder_, ignored);
}

FolderLock::~FolderLock() { ::close(fd_); }

void FolderLock::Sign() const {
  // A file of this name with other contents is not longspan's, and keeps them.
  if (Holder(fd_).empty() && ::lseek(fd_, 0, SEEK_END) != 0) return;
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd_, 0) == 0) static_cast<void>(::pwrite(fd_, pid.data(), pid.size(), 0) > 0);
}

}  // namespace longspan
