#include "train/run_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <utility>

#include "base/error.h"
#include "train/checkpoint_saver.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

// A link that is broken is there, too.
bool IsThere(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::symlink_status(path, error).type();
  return type != fs::file_type::not_found && type != fs::file_type::none;
}

}  // namespace

RunFolder::RunFolder(fs::path folder, AdapterKind adapter, bool force)
    : folder_(std::move(folder)), lock_(folder_) {
  std::error_code error;
  if (adapter != AdapterKind::kFull && IsThere(Adapter()) && !fs::is_directory(Adapter(), error)) {
    Fail(ErrorKind::kBadOption,
         "{}: expected a folder for the adapter, found something else; move it away, or name another "
         "train.out",
         Adapter().string());
  }
  if (!force && !IsThere(folder_ / kCheckpointFile)) CheckNothingInTheWay(adapter);
}

std::vector<fs::path> RunFolder::Files(const fs::path& folder, AdapterKind adapter) {
  std::vector<fs::path> files{folder / kCheckpointFile, folder / kLogFile, folder / "summary.json"};
  if (adapter == AdapterKind::kFull) {
    files.push_back(folder / "model.gguf");
  } else {
    for (const char* name : {"adapter_config.json", "adapter_model.safetensors"})
      files.push_back(folder / "adapter" / name);
  }
  return files;
}

void RunFolder::CheckNothingInTheWay(AdapterKind adapter) const {
  std::vector<std::string> found;
  for (const fs::path& file : Files(folder_, adapter)) {
    if (IsThere(file)) found.push_back(file.lexically_relative(folder_).generic_string());
  }
  if (found.empty()) return;
  Fail(ErrorKind::kBadOption,
       "{}: this run is to write {}, which is there without a checkpoint of a run; move it away, name "
       "another "
       "train.out, or give --force to replace it",
       folder_.string(), fmt::join(found, ", "));
}

}  // namespace longspan
