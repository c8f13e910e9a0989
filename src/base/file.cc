#include "base/file.h"

#include <fcntl.h>
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>

#include "base/cancel.h"
#include "base/error.h"

namespace longspan {
namespace {

constexpr std::size_t kWriteBuffer = 1 << 20;

[[noreturn]] void FailErrno(const std::filesystem::path& path, const char* action) {
  Fail(ErrorKind::kIo, "{}: cannot {}: {}", path.string(), action, std::strerror(errno));
}

std::filesystem::path FolderOf(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// A descriptor that closes itself.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

// What a file is, where it is not a regular one.
const char* KindName(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// A file that is open for reading.
struct OpenFile {
  Descriptor descriptor;
  struct stat info {};

  // Does not wait for the writer of a pipe.
  explicit OpenFile(const std::filesystem::path& path)
      : descriptor{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)} {
    if (fd() < 0 && errno == ENXIO)
      Fail(ErrorKind::kIo, "{}: is a socket, expected a regular file", path.string());
    if (fd() < 0) FailErrno(path, "open");
    if (::fstat(fd(), &info) != 0) FailErrno(path, "stat");
  }

  int fd() const { return descriptor.fd; }
  bool IsRegular() const { return S_ISREG(info.st_mode); }
  std::uint64_t size() const { return static_cast<std::uint64_t>(info.st_size); }
};

// The bytes of a pipe or a terminal until its end.
std::string ReadStream(const OpenFile& file, const std::filesystem::path& path, std::uint64_t limit) {
  // From here on, wait for what the writer will write. Without a writer a read returns at once.
  ::fcntl(file.fd(), F_SETFL, ::fcntl(file.fd(), F_GETFL) & ~O_NONBLOCK);
  constexpr std::size_t kPiece = std::size_t{1} << 16;
  std::string text;
  for (std::size_t done = 0;;) {
    text.resize(done + kPiece);
    const ssize_t n = ::read(file.fd(), text.data() + done, kPiece);
    if (n < 0 && errno == EINTR) {
      ThrowIfCancelled();
      continue;
    }
    if (n < 0) FailErrno(path, "read");
    done += static_cast<std::size_t>(n);
    if (done > limit) Fail(ErrorKind::kIo, "{}: over {} bytes, expected at most these", path.string(), limit);
    if (n > 0) continue;
    if (done == 0 && S_ISFIFO(file.info.st_mode)) {
      Fail(ErrorKind::kIo, "{}: is a pipe that nothing was written to; start its writer first",
           path.string());
    }
    text.resize(done);
    return text;
  }
}

// "4.27 GB", "12.30 MB" or "512 bytes".
std::string SizeText(std::uint64_t bytes) {
  if (bytes < 1'000'000) return fmt::format("{} bytes", bytes);
  const double size = static_cast<double>(bytes);
  return bytes < 1'000'000'000 ? fmt::format("{:.2f} MB", size / 1e6) : fmt::format("{:.2f} GB", size / 1e9);
}

// The rest of a mapped file's last page, past the end of the file.
std::span<const std::byte> BeyondEnd(std::span<const std::byte> file) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return {file.data() + file.size(), (page - file.size() % page) % page};
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  const OpenFile file(path);
  if (!file.IsRegular()) {
    Fail(ErrorKind::kIo, "{}: is {}, expected a regular file{}", path.string(), KindName(file.info.st_mode),
         S_ISDIR(file.info.st_mode) ? "" : "; save its contents in one first");
  }
  const std::uint64_t size = file.size();
  std::shared_ptr<MappedFile> mapped(new MappedFile);
  mapped->path_ = path;
  if (size > 0) {
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd(), 0);
    if (data == MAP_FAILED) FailErrno(path, "map");
    mapped->bytes_ = {static_cast<const std::byte*>(data), size};
    // For the address sanitizer: without this it would not notice a read past the end of the file.
    const auto beyond = BeyondEnd(mapped->bytes_);
    ASAN_POISON_MEMORY_REGION(beyond.data(), beyond.size());
  }
  return mapped;
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  const auto beyond = BeyondEnd(bytes_);
  ASAN_UNPOISON_MEMORY_REGION(beyond.data(), beyond.size());
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::Release(std::span<const std::byte> part) const {
  if (part.empty() || std::less<>()(part.data(), bytes_.data()) ||
      std::less<>()(bytes_.data() + bytes_.size(), part.data() + part.size())) {
    return;
  }
  // Whole pages only: the first and the last may hold neighbours.
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto offset = static_cast<std::size_t>(part.data() - bytes_.data());
  const std::size_t begin = (offset + page - 1) / page * page;
  const std::size_t end = (offset + part.size()) / page * page;
  if (begin < end) ::madvise(const_cast<std::byte*>(bytes_.data()) + begin, end - begin, MADV_DONTNEED);
}

std::string ReadFile(const std::filesystem::path& path, std::uint64_t limit) {
  const OpenFile file(path);
  if (S_ISFIFO(file.info.st_mode) || S_ISCHR(file.info.st_mode)) return ReadStream(file, path, limit);
  if (!file.IsRegular()) {
    Fail(ErrorKind::kIo, "{}: is {}, expected a regular file", path.string(), KindName(file.info.st_mode));
  }
  const std::uint64_t size = file.size();
  if (size > limit) Fail(ErrorKind::kIo, "{}: {} bytes, expected at most {}", path.string(), size, limit);
  std::string text(size, '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::read(file.fd(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) FailErrno(path, "read");
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  text.resize(done);
  return text;
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), target_(FollowLinks(path_)) {
  struct stat info;
  if (::stat(target_.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) Fail(ErrorKind::kIo, "{}: is a folder, expected a file name", path_.string());
    if (!S_ISREG(info.st_mode)) Fail(ErrorKind::kIo, "{}: not a regular file", path_.string());
  }
  if (!target_.has_filename()) {
    Fail(ErrorKind::kIo, "{}: the name of a folder, expected a file name", path_.string());
  }
  const std::filesystem::path folder = FolderOf(target_);
  std::error_code error;
  // A link into a missing folder may lead to a disk that is not mounted.
  if (target_ == path_) {
    std::filesystem::create_directories(folder, error);
    if (error) Fail(ErrorKind::kIo, "{}: cannot create folder: {}", folder.string(), error.message());
  } else if (!std::filesystem::is_directory(folder, error)) {
    Fail(ErrorKind::kIo, "{}: a link to {}, whose folder does not exist", path_.string(), target_.string());
  }
  file_.emplace(target_);
}

void AtomicFile::Write(std::span<const std::byte> bytes) {
  buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  offset_ += bytes.size();
  if (buffer_.size() >= kWriteBuffer) Flush();
}

void AtomicFile::Flush() {
  std::size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t n = ::write(file_->fd(), buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) FailErrno(path_, "write");
    done += static_cast<std::size_t>(n);
  }
  buffer_.clear();
}

void AtomicFile::Commit() {
  Flush();
  if (::fsync(file_->fd()) != 0) FailErrno(path_, "sync");
  if (!file_->Finish()) {
    if (errno == EEXIST) {
      Fail(ErrorKind::kIo,
           "{}: appeared while this command worked, so it is kept; name another file, or replace it with "
           "--force",
           path_.string());
    }
    FailErrno(path_, "move into place");
  }
  // The name itself lives in the folder. Sync that too, so that a power cut cannot undo it.
  const std::filesystem::path folder = FolderOf(target_);
  Descriptor directory{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (directory.fd >= 0) ::fsync(directory.fd);
}

void CheckFreeSpace(const std::filesystem::path& path, std::uint64_t bytes) {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(FolderOf(path), error);
  if (error) Fail(ErrorKind::kIo, "{}: cannot find out the free space: {}", path.string(), error.message());
  if (space.available < bytes) {
    Fail(ErrorKind::kIo, "{}: {} are needed, {} are free; free some space or name another disk",
         path.string(), SizeText(bytes), SizeText(space.available));
  }
}

void WriteFile(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.Write(text);
  file.Commit();
}

}  // namespace longspan
