// The bytes that libFuzzer makes up, as the files and folders that longspan opens by path. Nothing touches a
// disk.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"

namespace longspan::fuzz {

// A file without a name. It lives as long as this object, and its mappings live longer.
class MemoryFile {
 public:
  explicit MemoryFile(std::span<const std::byte> bytes) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
      if (n <= 0) Fail(ErrorKind::kInternal, "cannot write a file in memory");
      done += static_cast<std::size_t>(n);
    }
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

// Inputs of several files are the files one after the other, with this line between them.
inline constexpr std::string_view kNextFile = "\n=====\n";

// Exactly `count` files; those that an input lacks are empty.
inline std::vector<std::string_view> SplitFiles(std::span<const std::byte> input, std::size_t count) {
  std::string_view rest(reinterpret_cast<const char*>(input.data()), input.size());
  std::vector<std::string_view> files(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t end = i + 1 < count ? rest.find(kNextFile) : std::string_view::npos;
    files[i] = rest.substr(0, end);
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + kNextFile.size());
  }
  return files;
}

// The inverse of SplitFiles, for seeds: the files of these names in a folder as one input.
inline void JoinFiles(const std::filesystem::path& folder, const std::vector<std::string>& names,
                      const std::filesystem::path& to) {
  std::string all;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) all += kNextFile;
    if (std::filesystem::exists(folder / names[i])) all += ReadFile(folder / names[i]);
  }
  WriteFile(to, all);
}

// A folder with files of given names, whose contents are an input's. Each name is a link to a file in memory;
// empty files are absent. The folder itself is below $TMPDIR and serves all inputs of a process.
class MemoryFolder {
 public:
  MemoryFolder(std::span<const std::byte> input, const std::vector<std::string>& names) {
    const std::vector<std::string_view> contents = SplitFiles(input, names.size());
    files_.reserve(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (contents[i].empty()) continue;
      files_.push_back(std::make_unique<MemoryFile>(std::as_bytes(std::span(contents[i]))));
      links_.push_back(Place() / names[i]);
      std::filesystem::create_symlink(files_.back()->path(), links_.back());
    }
  }
  ~MemoryFolder() {
    for (const std::filesystem::path& link : links_) std::filesystem::remove(link);
  }
  MemoryFolder(const MemoryFolder&) = delete;
  MemoryFolder& operator=(const MemoryFolder&) = delete;

  const std::filesystem::path& path() const { return Place().path(); }

 private:
  static const TestFolder& Place() {
    static const TestFolder folder;
    return folder;
  }

  std::vector<std::unique_ptr<MemoryFile>> files_;
  std::vector<std::filesystem::path> links_;
};

}  // namespace longspan::fuzz
