#include "data/prepare/duplicates.h"

#include <fmt/format.h>

#include "base/cancel.h"
#include "data/prepare/clusters.h"
#include "data/prepare/key_groups.h"
#include "data/prepare/min_hash.h"
#include "data/prepare/part.h"

namespace longspan {
namespace {

class DuplicateFinder {
 public:
  DuplicateFinder(const std::filesystem::path& folder, const std::vector<std::string>& names,
                  std::int64_t vocab_size, Progress& progress)
      : folder_(folder), names_(names), vocab_size_(vocab_size), progress_(progress) {
    for (const std::string& name : names_) documents_ += Open(name).summary().documents;
  }

  void FindExact() {
    KeyGroups groups(folder_, documents_);
    progress_.Start("find duplicates", documents_, "documents");
    ForEach([&](const Part& part, std::int64_t i, std::uint64_t document) {
      groups.Add(part.Document(i).hash, document);
    });
    found_.exact.resize(documents_);
    groups.ForEachGroup([&](std::span<const std::uint64_t> same) {
      for (const std::uint64_t document : same.subspan(1)) Mark(found_.exact, document);
    });
    progress_.Finish(fmt::format("{} duplicates", marked_));
  }

  void FindNear() {
    KeyGroups groups(folder_, documents_ * kMinHashBands);
    progress_.Start("find near duplicates", documents_, "documents");
    ForEach([&](const Part& part, std::int64_t i, std::uint64_t document) {
      if (found_.exact[document]) return;
      const BandKeys keys = part.Bands(i);
      if (keys == kNoBandKeys) return;
      for (std::uint64_t band = 0; band < kMinHashBands; ++band) groups.Add({keys[band], band}, document);
    });
    Clusters clusters(folder_, documents_);
    groups.ForEachGroup([&](std::span<const std::uint64_t> alike) {
      for (const std::uint64_t document : alike.subspan(1)) clusters.Join(alike.front(), document);
    });
    found_.near.resize(documents_);
    marked_ = 0;
    for (std::int64_t i = 0; i < documents_; ++i) {
      if (clusters.First(i) != static_cast<std::uint64_t>(i)) Mark(found_.near, i);
    }
    progress_.Finish(fmt::format("{} near duplicates", marked_));
  }

  Duplicates Take() { return std::move(found_); }

 private:
  Part Open(const std::string& name) const { return {folder_, name, vocab_size_}; }

  void Mark(std::vector<bool>& documents, std::uint64_t document) {
    documents[document] = true;
    ++marked_;
  }

  // body(part, index in it, index among all)
  void ForEach(const auto& body) {
    std::uint64_t document = 0;
    for (const std::string& name : names_) {
      ThrowIfCancelled();
      const Part part = Open(name);
      part.CheckDocuments();
      for (std::int64_t i = 0; i < part.summary().documents; ++i) body(part, i, document++);
      progress_.Update(static_cast<std::int64_t>(document));
    }
  }

  const std::filesystem::path& folder_;
  const std::vector<std::string>& names_;
  std::int64_t vocab_size_;
  Progress& progress_;
  std::int64_t documents_ = 0, marked_ = 0;
  Duplicates found_;
};

}  // namespace

Duplicates FindDuplicates(const std::filesystem::path& folder, const std::vector<std::string>& names,
                          std::int64_t vocab_size, bool near, Progress& progress) {
  DuplicateFinder finder(folder, names, vocab_size, progress);
  finder.FindExact();
  if (near) finder.FindNear();
  return finder.Take();
}

}  // namespace longspan
