// The weights of a Hugging Face folder: model.safetensors, or shards with model.safetensors.index.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/safetensors.h"

namespace longspan {

class HfCheckpoint {
 public:
  // Error(kUnsupported) for a folder that has its weights in another form only, Error(kInvalidFile) where
  // index and shards contradict each other or the index names anything but a file of this folder.
  static HfCheckpoint Open(const std::filesystem::path& folder);

  const std::string& where() const { return where_; }
  std::size_t size() const { return tensors_.size(); }
  std::uint64_t file_bytes() const { return file_bytes_; }    // of all shards
  const SafetensorsEntry* Find(std::string_view name) const;  // nullptr where absent
  void Release(std::span<const std::byte> part) const;        // see MappedFile

  // Every tensor by name.
  const std::map<std::string, const SafetensorsEntry*, std::less<>>& tensors() const { return tensors_; }

 private:
  void Add(const std::filesystem::path& file);

  std::string where_;  // the file that messages name
  std::uint64_t file_bytes_ = 0;
  std::vector<std::shared_ptr<const SafetensorsFile>> files_;
  std::map<std::string, const SafetensorsEntry*, std::less<>> tensors_;
};

// Takes tensors in their order and writes them to one file, or to several of at most `shard_bytes` of data
// each (a larger tensor has one to itself) with an index. Names are those that transformers looks for:
// model-00001-of-00003.safetensors.
class HfCheckpointWriter {
 public:
  struct Plan {
    std::string name;
    Type type;
    std::vector<std::int64_t> shape;
  };
  HfCheckpointWriter(std::filesystem::path folder, std::vector<Plan> tensors, std::uint64_t shard_bytes);

  // The next piece of the current tensor.
  void Append(std::string_view name, std::span<const std::byte> piece);
  void Commit();

 private:
  void OpenShard();

  std::filesystem::path folder_;
  std::vector<Plan> tensors_;
  std::vector<std::size_t> ends_;  // of each shard, as an index into tensors_
  std::unique_ptr<SafetensorsWriter> writer_;
  std::size_t shard_ = 0;       // that is open
  std::size_t next_ = 0;        // the tensor whose data comes next
  std::uint64_t appended_ = 0;  // how much of it there is
};

}  // namespace longspan
