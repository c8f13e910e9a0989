// Documents grouped by a key, however many there are: what does not fit in memory lies on disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "base/scratch_file.h"
#include "data/text_hash.h"

namespace longspan {

class KeyGroups {
 public:
  // What is held in memory at once, about.
  static constexpr std::int64_t kMemory = std::int64_t{64} << 20;

  // For about `expected` entries. `folder` must exist.
  KeyGroups(std::filesystem::path folder, std::int64_t expected, std::int64_t memory = kMemory);

  // Keys must be evenly spread, as hashes are.
  void Add(const TextHash& key, std::uint64_t document);

  // Calls `body` with the documents of each key that several have, in ascending order. Call it once, at the
  // end.
  void ForEachGroup(FunctionRef<void(std::span<const std::uint64_t>)> body);

 private:
  struct Entry {
    TextHash key;
    std::uint64_t document;
    auto operator<=>(const Entry&) const = default;
  };
  // The entries whose keys begin alike.
  struct Section {
    std::vector<Entry> buffer;
    std::vector<std::uint64_t> blocks;  // where full buffers lie in the file
  };

  std::vector<Entry> Load(Section& section) const;

  std::filesystem::path folder_;
  std::optional<ScratchFile> file_;
  std::vector<Section> sections_;
};

}  // namespace longspan
