// Shards: tokenised documents in one file, mapped for reading.
//
// Layout, little-endian. What is known only at the end stands at the end, so that a corpus of any size is
// written in one pass:
//   at   bytes
//   0    8  magic "LSPNSHRD"
//   8    4  version, 2
//   12   4  bytes a token: 2 where the vocabulary has at most 65,536 entries, else 4
//   16   8  vocabulary size
//   24   4  BOS (-1: none)
//   28   4  EOS (-1: none)
//   32   8  fingerprint of the tokenizer (text/fingerprint.h)
//   40      tokens, zero-padded to a multiple of 8 bytes
//           offsets, 8 bytes each: where document i begins, counted in tokens; one more for the end
//   -40  8  digest of the validation shard that belongs to this one (0: none)
//   -32  8  digest of this shard: its vocabulary and its documents
//   -24  8  documents
//   -16  8  tokens
//   -8   8  magic "LSPNTAIL"
// Version 1 had neither fingerprint nor digests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "base/scratch_file.h"
#include "data/encoder.h"

namespace longspan {

// What the ids in a shard mean.
struct ShardVocabulary {
  std::int64_t size = 0;
  std::int32_t bos = -1;  // -1: none
  std::int32_t eos = -1;
  std::uint64_t fingerprint = 0;
};

ShardVocabulary VocabularyOf(const TextEncoder& encoder);

// Needs a few megabytes of memory, whatever it writes: offsets beyond these wait in a temporary file.
class ShardWriter {
 public:
  ShardWriter(std::filesystem::path path, ShardVocabulary vocabulary);

  void Add(std::span<const std::int32_t> document);  // Error(kInternal) for tokens outside the vocabulary
  // Without it, no file appears. `validation` is the digest of the shard that belongs to this one.
  void Commit(std::uint64_t validation = 0);

  std::int64_t documents() const { return documents_; }
  std::int64_t tokens() const { return tokens_; }
  std::uint64_t digest() const { return digest_.value(); }  // of what was added so far; see Shard::digest

 private:
  void WriteOffsets();

  std::filesystem::path folder_;
  AtomicFile file_;
  ShardVocabulary vocabulary_;
  std::int64_t documents_ = 0, tokens_ = 0;
  std::vector<std::uint64_t> offsets_{0};  // the latest
  std::optional<ScratchFile> earlier_;     // those before
  Hash64 digest_;
};

// Cheap to copy: copies share the mapping.
class Shard {
 public:
  // Checks all but the tokens, which CheckTokens and Read do.
  // Error(kIo), Error(kInvalidFile), Error(kUnsupported) for another version's file.
  static Shard Open(const std::filesystem::path& path);

  const ShardVocabulary& vocabulary() const { return vocabulary_; }
  const std::filesystem::path& path() const { return file_->path(); }
  std::int64_t documents() const { return documents_; }
  std::int64_t tokens() const { return tokens_; }
  std::int64_t Length(std::int64_t document) const { return Offset(document + 1) - Offset(document); }
  // Says which documents these are, in which vocabulary: shards of equal digests are interchangeable.
  std::uint64_t digest() const { return digest_; }
  std::uint64_t validation_digest() const { return validation_digest_; }  // 0: it has none

  // Tokens [first, first + out.size()) of a document. Error(kInvalidFile) for one outside the vocabulary.
  void Read(std::int64_t document, std::int64_t first, std::span<std::int32_t> out) const;
  std::vector<std::int32_t> ReadDocument(std::int64_t document) const;

  // Reads everything once. Error(kInvalidFile) where a token is outside the vocabulary or the digest differs.
  void CheckTokens() const;

 private:
  Shard() = default;
  void ReadHeader();
  void ReadFooter();
  void CheckOffsets() const;
  [[noreturn]] void Damaged(const std::string& why) const;
  std::int64_t Offset(std::int64_t document) const;

  std::shared_ptr<const MappedFile> file_;
  ShardVocabulary vocabulary_;
  std::int64_t documents_ = 0, tokens_ = 0;
  std::uint64_t digest_ = 0, validation_digest_ = 0;
  int token_bytes_ = 0;
  const std::byte* token_data_ = nullptr;
  const std::byte* offset_data_ = nullptr;
};

// Error(kBadOption) unless `shard` was made with this tokenizer: equal sizes do not make equal ids. Cheap.
void CheckVocabulary(const Shard& shard, const TextEncoder& encoder);

// CheckVocabulary and CheckTokens: for where a shard meets a model. Reads the whole shard once.
void CheckFits(const Shard& shard, const TextEncoder& encoder);

}  // namespace longspan
