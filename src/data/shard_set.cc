#include "data/shard_set.h"

#include <system_error>
#include <utility>

#include "base/error.h"

namespace longspan {

namespace fs = std::filesystem;

namespace {

void Check(const fs::path& path, const std::error_code& error) {
  if (error) Fail(ErrorKind::kIo, "{}: cannot replace it: {}", path.string(), error.message());
}

void Rename(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  Check(to, error);
}

void Remove(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  Check(path, error);
}

bool BelongTogether(const fs::path& train, const fs::path& validation) {
  if (!fs::exists(train) || !fs::exists(validation)) return false;
  try {
    return Shard::Open(train).validation_digest() == Shard::Open(validation).digest();
  } catch (const Error&) {
    return false;  // not a whole set, so there is nothing to lose
  }
}

}  // namespace

ShardSet ShardSet::Open(const fs::path& folder) {
  ShardSet set{Shard::Open(folder / kTrain), std::nullopt};
  const std::uint64_t wanted = set.train.validation_digest();
  if (wanted == 0) return set;
  // A run that was ended between its steps leaves the validation shard under the other name.
  for (const char* name : {kValidation, kNextValidation}) {
    if (!fs::exists(folder / name)) continue;
    Shard shard = Shard::Open(folder / name);
    if (shard.digest() != wanted) continue;
    set.validation = std::move(shard);
    return set;
  }
  Fail(ErrorKind::kInvalidFile,
       "{}: expected the validation shard that was prepared with {}, found {}; run longspan prepare again",
       (folder / kValidation).string(), kTrain, fs::exists(folder / kValidation) ? "another" : "none");
}

bool ShardSet::Exists(const fs::path& folder) {
  for (const char* name : {kTrain, kValidation, kNextValidation}) {
    std::error_code error;
    if (fs::exists(fs::symlink_status(folder / name, error))) return true;
  }
  return false;
}

std::uint64_t ShardSet::content_digest() const {
  Hash64 digest;
  digest.Add(train.digest());
  digest.Add(train.validation_digest());
  return digest.value();
}

ShardSetWriter::ShardSetWriter(fs::path folder, const ShardVocabulary& vocabulary)
    : folder_(std::move(folder)),
      train_(folder_ / ShardSet::kTrain, vocabulary),
      validation_(folder_ / ShardSet::kNextValidation, vocabulary) {}

void ShardSetWriter::Commit() {
  const fs::path train = folder_ / ShardSet::kTrain, validation = folder_ / ShardSet::kValidation,
                 next = folder_ / ShardSet::kNextValidation;
  // A run that was ended before its last step left its validation shard where this one's is about to go.
  if (BelongTogether(train, next)) Rename(next, validation);
  if (validation_.documents() == 0) {
    train_.Commit();
    Remove(validation);  // an earlier run's, of other documents
    Remove(next);
    return;
  }
  validation_.Commit();
  try {
    train_.Commit(validation_.digest());
  } catch (const Error&) {
    Remove(next);  // it belongs to a training shard that will never be
    throw;
  }
  Rename(next, validation);
}

void CheckFits(const ShardSet& shards, const TextEncoder& encoder) {
  CheckFits(shards.train, encoder);
  if (shards.validation) CheckFits(*shards.validation, encoder);
}

}  // namespace longspan
