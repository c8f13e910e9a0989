// Documents that belong together because a chain of pairs leads from one to the other (union-find; Tarjan
// 1975).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "base/scratch_file.h"

namespace longspan {

// 8 bytes a document, in a file that is mapped: the system keeps in memory what there is room for.
class Clusters {
 public:
  // Each of `documents` in a cluster of its own. `folder` must exist. Error(kIo) where the disk is full.
  Clusters(const std::filesystem::path& folder, std::int64_t documents);

  void Join(std::uint64_t a, std::uint64_t b);
  // The first document of the cluster.
  std::uint64_t First(std::uint64_t document);

 private:
  ScratchFile file_;
  std::span<std::uint64_t> steps_;  // how far before each document one lies that is nearer to the first
};

}  // namespace longspan
