// A file read front to back, decompressed on the way where it is zstd or gzip. Its first bytes say which; its
// name says only what it should be.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace longspan {

class InputStream {
 public:
  // What `zstd --long=31` asks for. A window takes only as much memory as there is text.
  static constexpr int kMaxWindowLog = 31;

  virtual ~InputStream() = default;

  // Opens `path`. A zstd window over 2^max_window_log bytes is refused, and so is a file that is named .zst
  // or .gz and is something else. Error(kIo), Error(kInvalidFile).
  static std::unique_ptr<InputStream> Open(const std::filesystem::path& path,
                                           int max_window_log = kMaxWindowLog);

  // The bytes of `path` from `begin` on, as they are. Error(kIo).
  static std::unique_ptr<InputStream> OpenPlain(const std::filesystem::path& path, std::uint64_t begin);

  // Whether Open would decompress. Error(kIo).
  static bool IsPacked(const std::filesystem::path& path);

  // Fills the front of `out` and returns how many bytes that is; 0 only at the end. What comes before a
  // damaged place is still given out. Error(kIo), or Error(kInvalidFile) for a broken or truncated stream.
  virtual std::size_t Read(std::span<char> out) = 0;

  // Bytes of the file consumed so far, before decompression: what a progress bar counts.
  virtual std::uint64_t consumed() const = 0;
};

}  // namespace longspan
