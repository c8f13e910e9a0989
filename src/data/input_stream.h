// A file read front to back, decompressed on the way if its name ends in .zst.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace longspan {

class InputStream {
 public:
  virtual ~InputStream() = default;

  // Opens `path`. Memory stays bounded whatever the file claims: a zstd window over 128 MiB is refused.
  static std::unique_ptr<InputStream> Open(const std::filesystem::path& path);  // Error(kIo)

  // Fills the front of `out` and returns how many bytes that is; 0 only at the end.
  // Error(kIo), or Error(kInvalidFile) for a broken or truncated zstd stream.
  virtual std::size_t Read(std::span<char> out) = 0;

  // Bytes of the file consumed so far, before decompression: what a progress bar counts.
  virtual std::uint64_t consumed() const = 0;
};

}  // namespace longspan
