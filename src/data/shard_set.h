// The shards that `prepare` leaves in a folder: train.lsd, and validation.lsd where documents were held out.
//
// Both come from one run, so they change together. The training shard says which validation shard is its own,
// and replacing a pair takes three steps:
//   1  the new validation shard appears as validation.next.lsd
//   2  the new train.lsd replaces the old one: from here on, the pair is the new one
//   3  validation.next.lsd is renamed to validation.lsd
// Open finds a whole pair after each, the old one or the new one. Other files of the folder are not touched.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "data/shard.h"

namespace longspan {

struct ShardSet {
  static constexpr const char* kTrain = "train.lsd";
  static constexpr const char* kValidation = "validation.lsd";
  static constexpr const char* kNextValidation = "validation.next.lsd";

  Shard train;
  std::optional<Shard> validation;

  // Error(kInvalidFile) where the training shard's validation shard is missing, or is another run's.
  static ShardSet Open(const std::filesystem::path& folder);
  // Whether a file of one of these names is there.
  static bool Exists(const std::filesystem::path& folder);

  // The digest of all documents and their vocabulary, which a checkpoint must find unchanged.
  std::uint64_t content_digest() const;
};

// Writes a set. Without Commit, the folder stays as it was.
class ShardSetWriter {
 public:
  ShardSetWriter(std::filesystem::path folder, const ShardVocabulary& vocabulary);

  ShardWriter& train() { return train_; }
  ShardWriter& validation() { return validation_; }
  void Commit();  // replaces the set that is there; no validation shard appears without documents

 private:
  std::filesystem::path folder_;
  ShardWriter train_, validation_;
};

// CheckFits of both shards (shard.h).
void CheckFits(const ShardSet& shards, const TextEncoder& encoder);

}  // namespace longspan
