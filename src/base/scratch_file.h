// A file for what does not fit in memory: it has no name, and is gone when it is closed or the process ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace longspan {

class ScratchFile {
 public:
  // Lies in `folder`, which must exist. Error(kIo).
  explicit ScratchFile(std::filesystem::path folder);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  std::uint64_t size() const { return size_; }
  // Writes at the end. Error(kIo), for example on a full disk.
  void Append(std::span<const std::byte> bytes);
  // Fills `out` from `offset` on; all of it must have been appended. Error(kIo).
  void Read(std::uint64_t offset, std::span<std::byte> out) const;
  // Makes it `bytes` long, all zeros where nothing was written, and maps it for reading and writing, for as
  // long as it lives. The room is taken at once, so that a full disk is an Error(kIo) here and now. Call
  // once.
  std::span<std::byte> Map(std::uint64_t bytes);

 private:
  [[noreturn]] void FailErrno(const char* action) const;

  std::filesystem::path folder_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  std::span<std::byte> mapped_;
};

}  // namespace longspan
