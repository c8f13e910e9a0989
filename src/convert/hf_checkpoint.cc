#include "convert/hf_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "formats/byte_reader.h"
#include "formats/json_object.h"
#include "formats/wrong_file.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr std::uint64_t kMaxIndex = 16 << 20;  // some 100 bytes a tensor, as in safetensors' own header

bool HasSuffix(const fs::path& folder, std::string_view suffix) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().ends_with(suffix)) return true;
  }
  return false;
}

// The index is from outside: a name with a folder in it could lead anywhere.
fs::path ShardPath(const fs::path& folder, const std::string& name, const std::string& where) {
  const bool plain =
      !name.empty() && name.find_first_of("/\\") == std::string::npos && name.ends_with(".safetensors");
  if (!plain) {
    Fail(ErrorKind::kInvalidFile, "{}: {} is not the name of a .safetensors file in the folder", where,
         Printable(name));
  }
  if (!fs::exists(folder / name))
    Fail(ErrorKind::kInvalidFile, "{}: shard {} is missing", where, Printable(name));
  return folder / name;
}

// The shard of each tensor.
std::map<std::string, std::string, std::less<>> ReadIndex(const fs::path& path) {
  const JsonObject index = JsonObject::Read(path, kMaxIndex);
  const auto map = index.FindObject("weight_map");
  if (!map) Fail(ErrorKind::kInvalidFile, "{}: weight_map is missing", index.where());
  std::map<std::string, std::string, std::less<>> shards;
  for (const auto& [tensor, shard] : map->value().items()) {
    if (!shard.is_string()) {
      Fail(ErrorKind::kInvalidFile, "{}: the shard of {} is {}", index.where(), Printable(tensor),
           JsonObject::Describe(shard));
    }
    shards.emplace(tensor, shard.get<std::string>());
  }
  return shards;
}

std::string ShardName(std::size_t number, std::size_t count) {
  return count == 1 ? kSingle : fmt::format("model-{:05}-of-{:05}.safetensors", number, count);
}

}  // namespace

HfCheckpoint HfCheckpoint::Open(const fs::path& folder) {
  HfCheckpoint checkpoint;
  if (fs::exists(folder / kSingle)) {
    checkpoint.where_ = (folder / kSingle).string();
    checkpoint.Add(folder / kSingle);
    return checkpoint;
  }
  if (!fs::exists(folder / kIndex)) {
    if (HasSuffix(folder, ".bin") || HasSuffix(folder, ".pth") || HasSuffix(folder, ".pt")) {
      RefusePickle(folder);
    }
    Fail(ErrorKind::kUnsupported, "{}: has neither {} nor {}", folder.string(), kSingle, kIndex);
  }
  checkpoint.where_ = (folder / kIndex).string();
  const auto index = ReadIndex(folder / kIndex);
  std::set<std::string> names;
  for (const auto& [tensor, shard] : index) names.insert(shard);
  for (const std::string& name : names) checkpoint.Add(ShardPath(folder, name, checkpoint.where_));
  for (const auto& file : checkpoint.files_) {
    const std::string name = file->path().filename().string();
    for (const SafetensorsEntry& entry : file->entries()) {
      const auto it = index.find(entry.name);
      if (it == index.end() || it->second != name) {
        Fail(ErrorKind::kInvalidFile, "{}: tensor {} is in {}, not where the index says", checkpoint.where_,
             Printable(entry.name), name);
      }
    }
  }
  for (const auto& [tensor, shard] : index) {
    if (checkpoint.Find(tensor) == nullptr) {
      Fail(ErrorKind::kInvalidFile, "{}: tensor {} is not in {}", checkpoint.where_, Printable(tensor),
           shard);
    }
  }
  return checkpoint;
}

void HfCheckpoint::Add(const fs::path& path) {
  files_.push_back(SafetensorsFile::Open(path));
  files_.back()->RefuseEmptyTensors();
  file_bytes_ += files_.back()->file_bytes();
  for (const SafetensorsEntry& entry : files_.back()->entries()) {
    if (!tensors_.emplace(entry.name, &entry).second) {
      Fail(ErrorKind::kInvalidFile, "{}: tensor {} is in an earlier shard too", path.string(),
           Printable(entry.name));
    }
  }
}

const SafetensorsEntry* HfCheckpoint::Find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : it->second;
}

void HfCheckpoint::Release(std::span<const std::byte> part) const {
  for (const auto& file : files_) file->Release(part);
}

HfCheckpointWriter::HfCheckpointWriter(fs::path folder, std::vector<Plan> tensors, std::uint64_t shard_bytes)
    : folder_(std::move(folder)), tensors_(std::move(tensors)) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const auto size = static_cast<std::uint64_t>(TensorBytes(tensors_[i].type, tensors_[i].shape));
    const bool is_first = i == (ends_.empty() ? 0 : ends_.back());
    if (!is_first && bytes + size > shard_bytes) {
      ends_.push_back(i);
      bytes = 0;
    }
    bytes += size;
  }
  ends_.push_back(tensors_.size());
  OpenShard();
}

void HfCheckpointWriter::OpenShard() {
  writer_ = std::make_unique<SafetensorsWriter>(folder_ / ShardName(shard_ + 1, ends_.size()));
  for (std::size_t i = next_; i < ends_[shard_]; ++i) {
    writer_->Declare(tensors_[i].name, tensors_[i].type, tensors_[i].shape);
  }
}

void HfCheckpointWriter::Append(std::string_view name, std::span<const std::byte> piece) {
  writer_->Append(name, piece);
  appended_ += piece.size();
  if (std::cmp_less(appended_, TensorBytes(tensors_[next_].type, tensors_[next_].shape))) return;
  appended_ = 0;
  if (++next_ < ends_[shard_] || shard_ + 1 == ends_.size()) return;
  writer_->Commit();
  ++shard_;
  OpenShard();
}

void HfCheckpointWriter::Commit() {
  writer_->Commit();
  if (ends_.size() == 1) return;
  nlohmann::json::object_t shards;  // by name, as transformers writes them
  std::int64_t total = 0;
  std::size_t shard = 0;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (i == ends_[shard]) ++shard;
    shards.emplace(tensors_[i].name, ShardName(shard + 1, ends_.size()));
    total += TensorBytes(tensors_[i].type, tensors_[i].shape);
  }
  const nlohmann::json index{{"metadata", {{"total_size", total}}}, {"weight_map", std::move(shards)}};
  WriteFile(folder_ / kIndex, JsonText(index));
}

}  // namespace longspan
