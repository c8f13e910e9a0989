// Shards: tokenised documents in one file, mapped for reading.
//
// Layout, little-endian; the table stands last so that a corpus of any size is written in one pass:
//   0    8  magic "LSPNSHRD"
//   8    4  version, 1
//   12   4  bytes a token: 2 where the vocabulary has at most 65,536 entries, else 4
//   16   8  vocabulary size
//   24   4  BOS, 28 4 EOS (-1: none)
//   32      tokens, zero-padded to a multiple of 8 bytes
//           offsets, 8 bytes each: where document i begins, counted in tokens; one more for the end
//   -24  8  documents
//   -16  8  tokens
//   -8   8  magic "LSPNTAIL"
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/file.h"

namespace longspan {

struct ShardVocabulary {
  std::int64_t size = 0;
  std::int32_t bos = -1;  // -1: none
  std::int32_t eos = -1;
};

class ShardWriter {
 public:
  ShardWriter(std::filesystem::path path, ShardVocabulary vocabulary);

  void Add(std::span<const std::int32_t> document);  // Error(kInternal) for tokens outside the vocabulary
  void Commit();                                     // without it, no file appears

  std::int64_t documents() const { return static_cast<std::int64_t>(offsets_.size()) - 1; }
  std::int64_t tokens() const { return static_cast<std::int64_t>(offsets_.back()); }

 private:
  AtomicFile file_;
  ShardVocabulary vocabulary_;
  std::vector<std::uint64_t> offsets_{0};
};

// Cheap to copy: copies share the mapping.
class Shard {
 public:
  static Shard Open(const std::filesystem::path& path);  // Error(kIo), Error(kInvalidFile)

  const ShardVocabulary& vocabulary() const { return vocabulary_; }
  const std::filesystem::path& path() const { return file_->path(); }
  std::int64_t documents() const { return documents_; }
  std::int64_t tokens() const { return tokens_; }
  std::int64_t Length(std::int64_t document) const { return Offset(document + 1) - Offset(document); }

  // Tokens [first, first + out.size()) of a document. Error(kInvalidFile) for one outside the vocabulary.
  void Read(std::int64_t document, std::int64_t first, std::span<std::int32_t> out) const;
  std::vector<std::int32_t> ReadDocument(std::int64_t document) const;

 private:
  Shard() = default;
  std::int64_t Offset(std::int64_t document) const;

  std::shared_ptr<const MappedFile> file_;
  ShardVocabulary vocabulary_;
  std::int64_t documents_ = 0, tokens_ = 0;
  int token_bytes_ = 0;
  const std::byte* token_data_ = nullptr;
  const std::byte* offset_data_ = nullptr;
};

// What `prepare` leaves in a folder.
struct ShardSet {
  static constexpr const char* kTrain = "train.lsd";
  static constexpr const char* kValidation = "validation.lsd";

  Shard train;
  std::optional<Shard> validation;

  static ShardSet Open(const std::filesystem::path& folder);
};

}  // namespace longspan
