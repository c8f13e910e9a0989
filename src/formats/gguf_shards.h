// A GGUF model in several files. Names and keys are those of llama.cpp's gguf-split:
// NAME-00001-of-00005.gguf, the metadata in the first shard, and in each `split.no` (from 0), `split.count`
// and `split.tensors.count` (of all).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "formats/gguf_reader.h"

namespace longspan {

struct GgufShardName {
  std::string stem;  // "NAME"
  int number = 0;    // from 1
  int count = 0;

  std::string FileName() const;
  // The parts of a shard's file name, or nothing for any other name.
  static std::optional<GgufShardName> Parse(std::string_view file_name);
};

// The files of the model that begins with `path`: all of its shards by name, whether they are there or not,
// or itself alone.
std::vector<std::filesystem::path> GgufShardFiles(const std::filesystem::path& path);

class GgufShards {
 public:
  // Adds the tensors of the other shards to those of `first` and forgets the split.* keys. A file that is not
  // a shard stays as it is. Error(kInvalidFile) where shards contradict each other or the names,
  // Error(kBadOption) where `first` is not the first one.
  static void Join(GgufFile& first);

 private:
  static std::shared_ptr<const GgufFile> Open(const std::filesystem::path& path);  // this file alone
};

// Writes `file` as shards of at most `shard_bytes` of tensor data each (a larger tensor has one to itself),
// named after `stem`, into `folder`, which must exist. The files' names, in order.
std::vector<std::string> WriteGgufShards(const GgufFile& file, const std::filesystem::path& folder,
                                         const std::string& stem, std::uint64_t shard_bytes,
                                         Progress& progress);

// The same as one file.
void WriteGgufFile(const GgufFile& file, const std::filesystem::path& path, Progress& progress);

}  // namespace longspan
