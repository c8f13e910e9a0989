#include "data/corpus_files.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

class Lister {
 public:
  explicit Lister(bool strict) : strict_(strict) {}

  void AddInput(const fs::path& input) {
    input_ = &input;
    std::error_code error;
    const fs::file_status status = fs::status(input, error);
    if (!fs::exists(status)) Fail(ErrorKind::kIo, "{}: no such file or folder", input.string());
    if (fs::is_directory(status))
      AddFolder(input);
    else
      AddFile(input, true);
  }

  CorpusFiles Take() { return std::move(found_); }

 private:
  void AddFolder(const fs::path& folder);
  void AddFile(const fs::path& path, bool named);

  bool strict_;
  CorpusFiles found_;
  // The input that is being listed, and those of all files so far, by device and number. A file of two inputs
  // would count twice.
  const fs::path* input_ = nullptr;
  std::map<std::pair<std::uint64_t, std::uint64_t>, const fs::path*> inputs_of_files_;
};

void Lister::AddFolder(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> paths;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    paths.push_back(entry->path());
  }
  CorpusSkips& skips = found_.skips;
  if (error) {
    const std::string why = fmt::format("{}: cannot list the folder: {}", folder.string(), error.message());
    if (strict_) throw Error(ErrorKind::kInvalidFile, why);
    return skips.files.Add(why);
  }
  std::ranges::sort(paths);
  for (const fs::path& path : paths) {
    const fs::file_status status = fs::status(path, error);
    const bool link = fs::is_symlink(fs::symlink_status(path, error));
    if (fs::is_regular_file(status))
      AddFile(path, false);
    else if (fs::is_directory(status) && !link)
      AddFolder(path);
    else if (fs::is_directory(status))  // it may lead back here
      skips.others.Add(fmt::format("{}: a link to a folder; name it as an input of its own", path.string()));
    else
      skips.others.Add(fmt::format("{}: {}", path.string(), link ? "a broken link" : "not a regular file"));
  }
}

void Lister::AddFile(const fs::path& path, bool named) {
  std::error_code error;
  if (named && !fs::is_regular_file(path, error)) {
    Fail(ErrorKind::kIo, "{}: expected a regular file or a folder; save its contents in a file first",
         path.string());
  }
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) {
    const fs::path*& first = inputs_of_files_[{info.st_dev, info.st_ino}];
    if (first == input_) {
      return found_.skips.others.Add(
          fmt::format("{}: another name of a file of the same folder, which is read once", path.string()));
    }
    if (first != nullptr) {
      Fail(ErrorKind::kBadOption, "{}: is read twice, for the inputs {} and {}; name it in one of them only",
           path.string(), first->string(), input_->string());
    }
    first = input_;
  }
  const std::uint64_t bytes = fs::file_size(path, error);
  if (error && named) Fail(ErrorKind::kIo, "{}: expected a file: {}", path.string(), error.message());
  found_.files.push_back({path, error ? 0 : bytes, named});
}

}  // namespace

CorpusFiles ListCorpus(const std::vector<fs::path>& inputs, bool strict) {
  Lister lister(strict);
  for (const fs::path& input : inputs) lister.AddInput(input);
  return lister.Take();
}

}  // namespace longspan
