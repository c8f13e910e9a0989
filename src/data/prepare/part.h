// The parts that `prepare` makes of its units, in its work folder:
//   NAME.tokens     the tokens of the documents that fit the limits, one after the other, in 2 or 4 bytes
//                   each, as in a shard
//   NAME.documents  a PartDocument for each
//   NAME.bands      a BandKeys for each, where near duplicates are looked for (min_hash.h)
//   NAME.json       a PartSummary; it appears last, so a part that has one is whole
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "data/prepare/min_hash.h"
#include "data/prepare/report.h"
#include "data/text_hash.h"

namespace longspan {

struct PartDocument {
  TextHash hash;
  std::uint32_t tokens;
  std::uint32_t subset;  // index in PartSummary::subsets
};
static_assert(sizeof(PartDocument) == 24);

struct PartSummary {
  std::int64_t documents = 0, tokens = 0;  // of NAME.documents
  std::int64_t lines = 0;                  // of a piece of a file: Corpus::piece_lines
  bool bands = false;                      // whether there is a NAME.bands
  std::uint64_t documents_digest = 0, tokens_digest = 0, bands_digest = 0;
  std::vector<DocumentFates> subsets;  // found, too short, too long
  CorpusSkips skips;
};

// Writes a part. Without Commit, none appears.
class PartWriter {
 public:
  PartWriter(std::filesystem::path folder, const std::string& name, std::int64_t vocab_size, bool bands);

  // A document that fits the limits.
  void Add(const PartDocument& document, std::span<const std::int32_t> tokens, const BandKeys& bands);
  // `summary` but for what Add counted.
  void Commit(PartSummary summary);

 private:
  struct Stream {
    AtomicFile file;
    Hash64 digest;

    explicit Stream(std::filesystem::path path) : file(std::move(path)) {}
    void Write(std::span<const std::byte> bytes) {
      file.Write(bytes);
      digest.Update(bytes);
    }
  };

  std::filesystem::path summary_path_;
  int token_bytes_;
  Stream tokens_, documents_;
  std::optional<Stream> bands_;
  std::int64_t count_ = 0, token_count_ = 0;
};

// Whether the part is there, as far as the sizes of its files tell.
bool PartExists(const std::filesystem::path& folder, const std::string& name, std::int64_t vocab_size);
// Whether a file of this name is one of a part.
bool IsPartFile(const std::filesystem::path& file);

// A part that is read front to back.
class Part {
 public:
  // Error(kIo); Error(kInvalidFile), with what to do, where it is not as its summary says.
  Part(std::filesystem::path folder, const std::string& name, std::int64_t vocab_size);

  const PartSummary& summary() const { return summary_; }
  PartDocument Document(std::int64_t i) const;
  BandKeys Bands(std::int64_t i) const;  // where the part was written with them
  // The tokens [first, first + out.size()) of all.
  void ReadTokens(std::int64_t first, std::span<std::int32_t> out) const;
  // Error(kInvalidFile) where the bytes are others than those that were written.
  void CheckDocuments() const;
  void CheckTokens() const;
  // Frees the memory behind the tokens before `end`.
  void ReleaseTokens(std::int64_t end) const;

 private:
  std::shared_ptr<const MappedFile> Map(const char* extension, std::uint64_t bytes) const;
  [[noreturn]] void Damaged(const std::filesystem::path& file, const std::string& why) const;
  void CheckDigest(const MappedFile& file, std::uint64_t expected) const;

  std::filesystem::path stem_;
  int token_bytes_;
  PartSummary summary_;
  std::shared_ptr<const MappedFile> tokens_, documents_, bands_;
};

}  // namespace longspan
