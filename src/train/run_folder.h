// The folder of a run: checkpoint.gguf, some before it and log.jsonl while it trains, and at the end
// summary.json with the result, which is adapter/ or model.gguf.
//
// A run goes on from a checkpoint, and repeats what it wrote before. Files without a checkpoint are
// somebody's results, and are replaced only where that is asked for.
#pragma once

#include <filesystem>
#include <vector>

#include "base/folder_lock.h"
#include "train/options.h"

namespace longspan {

class RunFolder {
 public:
  // Makes the folder where it is missing, and keeps other processes out. Error(kIo) where one works in it.
  // Error(kBadOption), unless `force`, where the folder has no checkpoint but files that the run is to write,
  // and always where its adapter/ is no folder.
  RunFolder(std::filesystem::path folder, AdapterKind adapter, bool force);

  // Every file that a run in `folder` writes.
  static std::vector<std::filesystem::path> Files(const std::filesystem::path& folder, AdapterKind adapter);

  std::filesystem::path Events() const { return folder_ / "runs"; }  // TensorBoard's files
  std::filesystem::path Adapter() const { return folder_ / "adapter"; }
  std::filesystem::path Model() const { return folder_ / "model.gguf"; }
  std::filesystem::path Summary() const { return folder_ / "summary.json"; }

 private:
  void CheckNothingInTheWay(AdapterKind adapter) const;

  std::filesystem::path folder_;
  FolderLock lock_;
};

}  // namespace longspan
