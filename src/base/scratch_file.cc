#include "base/scratch_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/temporary.h"

namespace longspan {

ScratchFile::ScratchFile(std::filesystem::path folder) : folder_(std::move(folder)) {
  fd_ = ::open(folder_.c_str(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
  while (fd_ < 0) {  // the file system has only files with names
    const std::filesystem::path name = TemporaryPath(folder_ / "scratch");
    fd_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd_ < 0 && errno == EEXIST) continue;
    if (fd_ < 0) FailErrno("create a temporary file in it");
    ::unlink(name.c_str());
  }
}

ScratchFile::~ScratchFile() {
  if (!mapped_.empty()) ::munmap(mapped_.data(), mapped_.size());
  ::close(fd_);
}

void ScratchFile::FailErrno(const char* action) const {
  Fail(ErrorKind::kIo, "{}: cannot {}: {}", folder_.string(), action, std::strerror(errno));
}

void ScratchFile::Append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) FailErrno("write to a temporary file in it");
    size_ += static_cast<std::uint64_t>(n);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void ScratchFile::Read(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) FailErrno("read a temporary file in it");
    if (n == 0) Fail(ErrorKind::kInternal, "{}: a temporary file ends at byte {}", folder_.string(), offset);
    offset += static_cast<std::uint64_t>(n);
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

std::span<std::byte> ScratchFile::Map(std::uint64_t bytes) {
  if (bytes == 0) return {};
  if (const int error = ::posix_fallocate(fd_, 0, static_cast<off_t>(bytes)); error != 0) {
    errno = error;
    FailErrno("write to a temporary file in it");
  }
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (data == MAP_FAILED) FailErrno("map a temporary file in it");
  size_ = std::max(size_, bytes);
  return mapped_ = {static_cast<std::byte*>(data), bytes};
}

}  // namespace longspan
