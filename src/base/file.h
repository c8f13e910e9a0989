// Files: mapped for reading, atomic for writing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/temporary.h"

namespace longspan {

// A whole file mapped read-only. Pages are loaded when touched, so a 40 GB model opens at once.
class MappedFile {
 public:
  // Error(kIo), also where `path` is no regular file. Never waits for the writer of a pipe.
  static std::shared_ptr<const MappedFile> Open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  // Frees the memory behind `part`, a piece of bytes() that is not needed soon. Touching it reads it from the
  // file again. For walks over files larger than memory should hold. A span from elsewhere is ignored.
  void Release(std::span<const std::byte> part) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

// The text of a file of at most `limit` bytes, or of a pipe or terminal until its end. Error(kIo) where it is
// missing or larger, and for a pipe that has no writer.
std::string ReadFile(const std::filesystem::path& path, std::uint64_t limit = std::uint64_t{1} << 30);

// A file that appears whole or not at all: Commit syncs it and gives it its name. Without Commit nothing is
// left behind, and a file of that name stays as it was. A link is followed and kept: the file that it leads
// to is replaced or made. A replaced file's permissions are kept.
class AtomicFile {
 public:
  // Makes missing folders. Error(kIo), also where `path` is a folder or a device.
  explicit AtomicFile(std::filesystem::path path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Write(std::span<const std::byte> bytes);  // Error(kIo), for example on a full disk
  void Write(std::string_view text) { Write(std::as_bytes(std::span(text))); }
  std::uint64_t offset() const { return offset_; }
  void Commit();

 private:
  void Flush();

  std::filesystem::path path_, target_;  // as it was named, and where its links lead
  std::optional<TemporaryFile> file_;
  std::uint64_t offset_ = 0;
  std::string buffer_;
};

// Error(kIo) unless `bytes` more fit on the disk beside `path`, whose folder exists. Call it before writing a
// large file, so that a lack of space shows at once and not halfway.
void CheckFreeSpace(const std::filesystem::path& path, std::uint64_t bytes);

// Writes `text` as the whole of `path`, atomically.
void WriteFile(const std::filesystem::path& path, std::string_view text);

}  // namespace longspan
