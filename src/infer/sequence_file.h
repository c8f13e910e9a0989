// A sequence with its keys and values in a file, so that a long prompt need not be read again.
//
// Layout, little-endian:
//   0    8  magic "LSPNKVSQ"
//   8    4  version, 1
//   12   4  element type of the cache, by GGUF's number
//   16   8  fingerprint of the model (model/fingerprint.h)
//   24   8  layers, 32 8 KV heads, 40 8 width of a head, 48 8 tokens of a page
//   56   8  tokens of the sequence
//   64   8  how many of these, from the first on, the cache holds
//   72      tokens, 4 bytes each
//           pages as they lie in memory (KvPage). The unused rest of the last one is zero, which is checked,
//           so that a sequence has exactly one file
//   -8   8  Hash64 of all that stands before
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "model/kv_cache.h"

namespace longspan {

struct SavedSequence {
  std::vector<std::int32_t> tokens;
  KvCache cache;  // of the first cache.length() tokens
};

// Error(kIo), and then no file appears.
void SaveSequence(const std::filesystem::path& path, std::uint64_t fingerprint,
                  std::span<const std::int32_t> tokens, const KvCache& cache);

// The cache takes its pages from `pool`. Error(kInvalidFile) for a file that is no whole sequence or holds
// tokens outside the vocabulary, Error(kBadOption) where the model or the type of the cache is another,
// Error(kOutOfMemory) where the pool has not enough pages. All of them name the file. `make_room`, unless
// empty, is told how many pages will be taken, once the file has been checked to its last byte.
using MakeRoomForPages = std::function<void(std::int64_t pages)>;
SavedSequence RestoreSequence(const std::filesystem::path& path, std::uint64_t fingerprint,
                              std::int64_t vocab_size, const std::shared_ptr<KvPagePool>& pool,
                              const MakeRoomForPages& make_room = nullptr);
// The same for a file in memory, called `name`.
SavedSequence ReadSequence(std::span<const std::byte> file, std::string_view name, std::uint64_t fingerprint,
                           std::int64_t vocab_size, const std::shared_ptr<KvPagePool>& pool,
                           const MakeRoomForPages& make_room = nullptr);

}  // namespace longspan
