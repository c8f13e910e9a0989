#include "cli/outputs.h"

#include <sys/stat.h>

#include <optional>
#include <system_error>

#include "base/error.h"
#include "base/new_file.h"
#include "formats/gguf_shards.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

// The file that a path leads to, after all links; nothing where there is none.
std::optional<struct stat> Find(const fs::path& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return info;
}

bool IsSame(const fs::path& path, const struct stat& file) {
  const auto info = Find(path);
  return info && info->st_dev == file.st_dev && info->st_ino == file.st_ino;
}

// The path by which `file` is read when `input` is, or nothing.
std::optional<fs::path> FindIn(const fs::path& input, const struct stat& file) {
  std::error_code error;
  if (!fs::is_directory(input, error)) {
    for (const fs::path& shard : GgufShardFiles(input)) {
      if (IsSame(shard, file)) return shard;
    }
    return std::nullopt;
  }
  constexpr auto kSkip = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator it(input, kSkip, error), end; !error && it != end;
       it.increment(error)) {
    if (IsSame(it->path(), file)) return it->path();
  }
  return std::nullopt;
}

}  // namespace

void CheckNotInput(const fs::path& out, const std::vector<fs::path>& inputs) {
  const auto file = Find(out);
  if (!file) return;
  if (S_ISDIR(file->st_mode)) Fail(ErrorKind::kBadOption, "{}: is a folder; name a file", out.string());
  if (!S_ISREG(file->st_mode)) {
    Fail(ErrorKind::kBadOption, "{}: is not a regular file; name another", out.string());
  }
  for (const fs::path& input : inputs) {
    if (const auto read = FindIn(input, *file)) {
      Fail(ErrorKind::kBadOption,
           "{}: is {}, which the command reads; inputs are never replaced, name another file", out.string(),
           *read == out ? "an input" : "the same file as " + read->string());
    }
  }
}

void OutputOptions::AddTo(CLI::App& command) {
  command.add_flag("--force", force, "Replace the output file if it exists; never an input");
}

void OutputOptions::Check(const fs::path& out, const std::vector<fs::path>& inputs) const {
  CheckNotInput(out, inputs);
  if (!force && Find(out)) {
    Fail(ErrorKind::kBadOption, "{}: exists already; --force replaces it", out.string());
  }
  CheckWritable(out);
  if (!force) KeepIfItAppears(out);
}

}  // namespace longspan
