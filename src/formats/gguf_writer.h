// Writing GGUF version 3: metadata and the list of tensors first, then the tensors' data one after the other,
// so that no more than one tensor, or a piece of it, need be in memory. The file appears when Commit returns,
// whole or not at all. Ctrl-C does not stop a writer, because a writer is what saves a checkpoint; callers
// with much to write check for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/file.h"
#include "formats/gguf_value.h"
#include "tensor/type.h"

namespace longspan {

class GgufWriter {
 public:
  // The alignment is metadata's general.alignment, or the format's default of 32 bytes.
  GgufWriter(const std::filesystem::path& path, GgufMetadata metadata);

  // Announces a tensor, in the order in which the data will come; the shape is outermost first.
  void Declare(std::string_view name, Type type, std::vector<std::int64_t> shape);
  // The data of the next declared tensor, whose name must be `name`. No Declare may follow the first Write.
  void Write(std::string_view name, std::span<const std::byte> bytes);
  // The same in pieces, for tensors too large for memory: the next tensor follows when all bytes are there.
  void Append(std::string_view name, std::span<const std::byte> piece);
  // Error(kInternal) unless every declared tensor was written.
  void Commit();

 private:
  struct Declared {
    std::string name;
    Type type;
    std::vector<std::int64_t> shape;
    std::uint64_t bytes;
  };
  void WriteHeader();
  void Pad();

  std::string name_;
  AtomicFile file_;
  GgufMetadata metadata_;
  std::uint64_t alignment_;
  std::vector<Declared> tensors_;
  std::unordered_set<std::string> names_;  // of tensors_
  bool header_written_ = false;
  std::size_t next_ = 0;        // the tensor whose data comes next
  std::uint64_t appended_ = 0;  // how much of it there is
};

}  // namespace longspan
