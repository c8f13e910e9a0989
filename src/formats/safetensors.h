// safetensors: a JSON header of names, types, shapes and places, then the tensors' bytes.
// Format: github.com/huggingface/safetensors, README "Format". Header, names and offsets are untrusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "tensor/tensor.h"
#include "tensor/type.h"

namespace longspan {

struct SafetensorsEntry {
  std::string name;
  Type type = Type::kF32;
  std::vector<std::int64_t> shape;  // outermost first; a scalar is {1}
  std::span<const std::byte> bytes;
};

class SafetensorsFile {
 public:
  // Error(kInvalidFile), or Error(kUnsupported) for an element type that longspan has no name for.
  static std::shared_ptr<const SafetensorsFile> Open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return mapped_->path(); }
  std::uint64_t file_bytes() const { return mapped_->bytes().size(); }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }  // in the order of their bytes
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  void Release(std::span<const std::byte> part) const { mapped_->Release(part); }  // see MappedFile

  // Error(kInvalidFile) where a tensor has no elements, which the format allows and no model or adapter has.
  void RefuseEmptyTensors() const;

  // A view that keeps the file mapped (a copy where the bytes are not aligned for their type); an empty
  // tensor where the file has none of this name.
  Tensor LoadTensor(std::string_view name) const;

 private:
  SafetensorsFile() = default;
  void ReadHeader();
  void CheckPlaces(std::span<const std::byte> data) const;

  std::shared_ptr<const MappedFile> mapped_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, std::size_t, std::less<>> index_;  // of entries_, by name
  std::map<std::string, std::string> metadata_;
};

// Declares all tensors, then takes their data in the same order, one at a time.
class SafetensorsWriter {
 public:
  explicit SafetensorsWriter(const std::filesystem::path& path) : name_(path.string()), file_(path) {}

  void Declare(std::string_view name, Type type, std::vector<std::int64_t> shape);  // F32, F16, BF16
  void Write(std::string_view name, std::span<const std::byte> bytes);
  // The same in pieces, for tensors too large for memory: the next tensor follows when all bytes are there.
  void Append(std::string_view name, std::span<const std::byte> piece);
  void Commit();

 private:
  void WriteHeader();

  std::string name_;
  AtomicFile file_;
  std::vector<SafetensorsEntry> entries_;  // without bytes
  bool header_written_ = false;
  std::size_t next_ = 0;      // the tensor whose data comes next
  std::size_t appended_ = 0;  // how much of it there is
};

}  // namespace longspan
