// SHA-256 of files, and the SHA256SUMS file of a release folder, in the format of coreutils' sha256sum.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"

namespace longspan {

inline constexpr std::string_view kChecksumsFile = "SHA256SUMS";

// A digest taken piece by piece.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text) { Update(std::as_bytes(std::span(text))); }
  std::string Hex();  // 64 lower-case digits; ends the digest

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string Sha256Text(std::string_view text);

// Reads the file in pieces, so memory does not grow with it; stops at Ctrl-C. Error(kIo).
std::string Sha256File(const std::filesystem::path& path, Progress& progress = NoProgress());

// The text of SHA256SUMS: one line for each file, given as digests by name relative to the folder.
// Error(kUnsupported) for a name that holds a line break or a backslash.
std::string ChecksumLines(const std::map<std::string, std::string>& digests);

struct ChecksumFault {
  std::string file;  // relative to the folder
  std::string what;  // "missing" or "differs"
};

// Compares every file that SHA256SUMS lists; empty where all agree. Error(kInvalidFile) where the list itself
// is malformed or names a file outside the folder.
std::vector<ChecksumFault> VerifyChecksums(const std::filesystem::path& folder);

}  // namespace longspan
