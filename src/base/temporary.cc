#include "base/temporary.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/new_file.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = ".longspan-tmp-";
constexpr std::size_t kDigits = 16;        // hexadecimal
constexpr std::size_t kLongestStem = 200;  // a name has at most 255 bytes

bool IsHexDigit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

// Removes one temporary file or folder, unless it is locked or the file system has no locks.
void RemoveIfStale(const fs::path& path) {
  // Some network file systems lock only files that are open for writing. Folders cannot be opened that way.
  int fd = ::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 && errno == EISDIR) fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  std::error_code ignored;
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) fs::remove_all(path, ignored);
  ::close(fd);
}

// Whether this is the first time that the process asks about `folder`.
bool IsFirstLook(const fs::path& folder) {
  static std::mutex mutex;
  static std::set<fs::path> seen;
  std::error_code error;
  const fs::path path = fs::absolute(folder, error);
  const std::lock_guard lock(mutex);
  return seen.insert(path).second;
}

fs::path FolderOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// Sets errno to EEXIST and returns false where `to` exists.
bool RenameToNew(const fs::path& from, const fs::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  // A file system without it may have hard links.
  if (::link(from.c_str(), to.c_str()) == 0) {
    ::unlink(from.c_str());
    return true;
  }
  if (errno == EEXIST) return false;
  struct stat info;
  if (::lstat(to.c_str(), &info) == 0) {
    errno = EEXIST;
    return false;
  }
  return ::rename(from.c_str(), to.c_str()) == 0;
}

}  // namespace

bool IsTemporaryName(std::string_view file_name) {
  if (file_name.size() <= kMark.size() + kDigits) return false;
  const std::string_view tail = file_name.substr(file_name.size() - kMark.size() - kDigits);
  return tail.starts_with(kMark) && std::ranges::all_of(tail.substr(kMark.size()), IsHexDigit);
}

fs::path TemporaryPath(const fs::path& path) {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) {
    Fail(ErrorKind::kIo, "{}: cannot get a random number for a temporary name: {}", path.string(),
         std::strerror(errno));
  }
  const std::string stem = path.filename().string().substr(0, kLongestStem);
  return path.parent_path() / fmt::format("{}{}{:016x}", stem, kMark, number);
}

void LockTemporary(int fd) {
  while (::flock(fd, LOCK_EX) != 0 && errno == EINTR) {
  }
}

void RemoveStaleTemporaries(const fs::path& folder) {
  if (!IsFirstLook(folder)) return;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (IsTemporaryName(it->path().filename().native())) RemoveIfStale(it->path());
  }
}

fs::path FollowLinks(fs::path path) {
  constexpr int kMostLinks = 40;  // as in the kernel
  const std::string start = path.string();
  for (int i = 0; i <= kMostLinks; ++i) {
    std::error_code error;
    const fs::path next = fs::read_symlink(path, error);
    if (error) return path;
    path = path.parent_path() / next;
  }
  Fail(ErrorKind::kIo, "{}: its links lead in a circle", start);
}

TemporaryFile::TemporaryFile(fs::path target, Naming naming) : target_(std::move(target)) {
  RemoveStaleTemporaries(FolderOf(target_));
  const bool open = (naming == Naming::kNoneIfPossible && OpenNameless()) || OpenNamed();
  if (!open) {
    Fail(ErrorKind::kIo, "{}: cannot create a temporary file beside it: {}", target_.string(),
         std::strerror(errno));
  }
  TakePermissions();
}

TemporaryFile::~TemporaryFile() {
  if (fd_ < 0) return;
  if (!name_.empty()) ::unlink(name_.c_str());
  ::close(fd_);
}

bool TemporaryFile::OpenNameless() {
  const int fd = ::open(FolderOf(target_).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
  if (fd < 0) return false;
  // Without /proc the file could never be given a name.
  if (::access(fmt::format("/proc/self/fd/{}", fd).c_str(), F_OK) != 0) {
    ::close(fd);
    return false;
  }
  LockTemporary(fd);  // it will have a temporary name for a moment if it replaces another file
  fd_ = fd;
  return true;
}

bool TemporaryFile::OpenNamed() {
  for (;;) {
    const fs::path name = TemporaryPath(target_);
    const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) return false;
    LockTemporary(fd);
    // Another process may have taken it for a stale one before it was locked.
    struct stat info;
    if (::fstat(fd, &info) == 0 && info.st_nlink == 0) {
      ::close(fd);
      continue;
    }
    fd_ = fd;
    name_ = name;
    return true;
  }
}

void TemporaryFile::TakePermissions() {
  struct stat info;
  if (::stat(target_.c_str(), &info) != 0) return;
  // Only root may give a file to another owner, and only a member of a group may give it to that group.
  // Otherwise it belongs to its writer.
  constexpr auto kSameOwner = static_cast<uid_t>(-1);
  [[maybe_unused]] const bool given =
      ::fchown(fd_, info.st_uid, info.st_gid) == 0 || ::fchown(fd_, kSameOwner, info.st_gid) == 0;
  ::fchmod(fd_, info.st_mode & 07777);
}

bool TemporaryFile::Link(const fs::path& name) const {
  return ::linkat(AT_FDCWD, fmt::format("/proc/self/fd/{}", fd_).c_str(), AT_FDCWD, name.c_str(),
                  AT_SYMLINK_FOLLOW) == 0;
}

bool TemporaryFile::Finish() {
  const bool keep = IsKeptIfItAppears(target_);
  bool finished = name_.empty() && Link(target_);
  if (!finished) {
    if (keep && name_.empty() && errno == EEXIST) return false;
    while (name_.empty()) {
      const fs::path name = TemporaryPath(target_);
      if (Link(name))
        name_ = name;
      else if (errno != EEXIST)
        return false;
    }
    if (!(keep ? RenameToNew(name_, target_) : ::rename(name_.c_str(), target_.c_str()) == 0)) return false;
  }
  ReplaceFromNowOn(target_);
  ::close(fd_);
  fd_ = -1;
  return true;
}

}  // namespace longspan
