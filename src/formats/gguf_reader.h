// Reading GGUF (versions 2 and 3, little-endian): metadata, and tensors as views into the mapped file.
// Format: ggml's docs/gguf.md. Nothing in a file is trusted: every length, count, type and offset is checked
// before use, and what is wrong is an Error(kInvalidFile) that names the file and the byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "formats/gguf_value.h"
#include "tensor/tensor.h"
#include "tensor/type.h"

namespace longspan {

struct GgufTensor {
  std::string name;
  Type type = Type::kF32;
  std::vector<std::int64_t> shape;  // outermost first (the file stores innermost first)
  std::uint64_t offset = 0;         // of the data, from the start of the file (its shard)
  std::span<const std::byte> bytes;

  std::int64_t elements() const;
};

class GgufFile {
 public:
  // A model in shards (formats/gguf_shards.h) is opened by the name of its first, and reads as one file.
  static std::shared_ptr<const GgufFile> Open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return mapped_->path(); }
  std::uint64_t file_bytes() const { return file_bytes_; }  // of all shards
  std::uint32_t version() const { return version_; }
  std::uint64_t alignment() const { return alignment_; }

  const GgufMetadata& metadata() const { return metadata_; }
  template <class T>
  T Get(std::string_view key) const {
    return metadata_.Get<T>(key);
  }
  template <class T>
  std::optional<T> Find(std::string_view key) const {
    return metadata_.Find<T>(key);
  }

  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* FindTensor(std::string_view name) const;  // nullptr where absent
  // A view that keeps the file mapped; an empty tensor where the file has none of this name.
  Tensor LoadTensor(std::string_view name) const;
  void Release(std::span<const std::byte> part) const;  // see MappedFile

 private:
  friend class GgufParser;
  friend class GgufShards;
  GgufFile() = default;

  using Mappings = std::vector<std::shared_ptr<const MappedFile>>;

  std::shared_ptr<const MappedFile> mapped_;  // the file that was named
  std::shared_ptr<const Mappings> mappings_;  // it and its other shards: what tensors keep alive
  std::uint64_t file_bytes_ = 0;
  std::uint32_t version_ = 0;
  std::uint64_t alignment_ = 0;
  GgufMetadata metadata_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, std::size_t, std::less<>> tensor_index_;
};

inline constexpr std::string_view kGgufMagic = "GGUF";
inline constexpr std::uint64_t kGgufDefaultAlignment = 32;

// Error(kInvalidFile), naming `where`, unless tensors may be aligned so: a power of two, 8 to 1 MiB.
void CheckGgufAlignment(std::uint64_t alignment, std::string_view where);

}  // namespace longspan
