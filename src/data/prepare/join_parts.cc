#include "data/prepare/join_parts.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "data/prepare/duplicates.h"
#include "data/prepare/part.h"
#include "data/shard_set.h"

namespace longspan {
namespace {

constexpr std::int64_t kReleaseTokens = std::int64_t{1} << 22;  // read before their memory is given back

class PartJoiner {
 public:
  PartJoiner(const std::vector<PrepareUnit>& units, const std::filesystem::path& folder,
             const JoinOptions& options, const TextEncoder& encoder, Progress& progress)
      : units_(units),
        folder_(folder),
        options_(options),
        encoder_(encoder),
        progress_(progress),
        eos_(options.append_eos ? encoder.eos : -1),
        held_out_(options.validation_share) {}

  PrepareReport Run(const CorpusSkips& skips, const std::filesystem::path& out) {
    ReadSummaries(skips);
    std::vector<std::string> names;
    for (const PrepareUnit& unit : units_) names.push_back(unit.name);
    duplicates_ = FindDuplicates(folder_, names, encoder_.vocab_size, options_.near_duplicates, progress_);
    Split();
    CheckSomethingIsLeft();
    WriteShards(out);
    report_.subsets = fates_.Take();
    std::ranges::sort(report_.subsets, {}, &DocumentFates::subset);
    for (const DocumentFates& fates : report_.subsets) report_.total.Add(fates);
    return std::move(report_);
  }

 private:
  Part Open(const PrepareUnit& unit) const { return {folder_, unit.name, encoder_.vocab_size}; }

  // Counts what was found, and moves the lines of the notes on pieces of files.
  void ReadSummaries(const CorpusSkips& skips) {
    report_.skips = skips;
    std::int64_t lines_before = 0;
    for (const PrepareUnit& unit : units_) {
      const Part part = Open(unit);
      PartSummary summary = part.summary();
      if (unit.pieces.front().begin == 0) lines_before = 0;
      for (SkippedParts* parts : {&summary.skips.lines, &summary.skips.documents, &summary.skips.files}) {
        for (SkipNote& note : parts->named) note.line += note.line > 0 ? lines_before : 0;
      }
      lines_before += summary.lines;
      report_.skips.Add(summary.skips);
      for (const DocumentFates& fates : summary.subsets) fates_[fates_.Index(fates.subset)].Add(fates);
      tokens_ += summary.tokens;
      documents_ += summary.documents;
    }
  }

  bool IsDuplicate(std::int64_t document) const {
    return duplicates_.exact[document] || (!duplicates_.near.empty() && duplicates_.near[document]);
  }

  void Split() {
    std::int64_t document = 0;
    for (const PrepareUnit& unit : units_) {
      ThrowIfCancelled();
      const Part part = Open(unit);
      for (std::int64_t i = 0; i < part.summary().documents; ++i, ++document) {
        if (!IsDuplicate(document)) held_out_.Add(part.Document(i).hash);
      }
    }
  }

  void CheckSomethingIsLeft() const {
    if (documents_ > 0) return;  // the first is no duplicate, and not all are held out
    DocumentFates total;
    for (const DocumentFates& fates : fates_.all()) total.Add(fates);
    const CorpusSkips& skips = report_.skips;
    Fail(ErrorKind::kBadOption, "no document is left: {} found, {} too short, {} too long{}{}{}{}",
         total.found.documents, total.too_short.documents, total.too_long.documents,
         skips.lost() > 0 ? "; " : "", skips.Summary(), skips.lost() > 0 ? " could not be used" : "",
         skips.first().empty() ? "" : fmt::format("; first: {}", skips.first()));
  }

  void WriteShards(const std::filesystem::path& out) {
    ShardSetWriter shards(out, VocabularyOf(encoder_));
    const std::uint64_t token_bytes = encoder_.vocab_size <= 65536 ? 2 : 4;
    CheckFreeSpace(out / ShardSet::kTrain, static_cast<std::uint64_t>(tokens_) * token_bytes);
    progress_.Start("write shards", tokens_, "tokens");
    std::int64_t document = 0, before = 0;
    std::vector<std::int32_t> tokens;
    for (const PrepareUnit& unit : units_) {
      const Part part = Open(unit);
      part.CheckTokens();
      std::vector<std::int64_t> indices;
      for (const DocumentFates& fates : part.summary().subsets) indices.push_back(fates_.Index(fates.subset));
      std::int64_t first = 0, released = 0;
      for (std::int64_t i = 0; i < part.summary().documents; ++i, ++document) {
        const PartDocument found = part.Document(i);
        DocumentFates& fates = fates_[indices[found.subset]];
        if (duplicates_.exact[document]) {
          fates.duplicates.Add(found.tokens);
        } else if (IsDuplicate(document)) {
          fates.near_duplicates.Add(found.tokens);
        } else {
          tokens.resize(found.tokens);
          part.ReadTokens(first, tokens);
          fates.kept.Add(found.tokens);
          Write(tokens, held_out_.Contains(found.hash) ? shards.validation() : shards.train(), fates);
        }
        first += found.tokens;
        if (first - released < kReleaseTokens) continue;
        ThrowIfCancelled();
        part.ReleaseTokens(released = first);
        progress_.Update(before + first);
      }
      before += first;
      progress_.Update(before);
    }
    report_.train_pieces = shards.train().documents();
    report_.train_tokens = shards.train().tokens();
    report_.validation_pieces = shards.validation().documents();
    report_.validation_tokens = shards.validation().tokens();
    shards.Commit();
    progress_.Finish(fmt::format("{} pieces", report_.train_pieces + report_.validation_pieces));
  }

  // The document in its pieces; the last ends with EOS where the document does. Uses up `tokens`.
  void Write(std::vector<std::int32_t>& tokens, ShardWriter& shard, DocumentFates& fates) const {
    const std::int64_t length = std::ssize(tokens);
    const std::vector<std::int64_t> ends = PieceEnds(length, options_.limits);
    if (eos_ >= 0) tokens.push_back(eos_);
    std::int64_t begin = 0;
    for (const std::int64_t end : ends) {
      const bool last = end == length && eos_ >= 0;
      shard.Add(std::span(tokens).subspan(begin, end - begin + (last ? 1 : 0)));
      begin = end;
    }
    fates.sliced += ends.size() != 1 || ends.front() != length;
    fates.tokens_cut_off += length - ends.back();
  }

  const std::vector<PrepareUnit>& units_;
  const std::filesystem::path& folder_;
  const JoinOptions& options_;
  const TextEncoder& encoder_;
  Progress& progress_;
  std::int32_t eos_;
  HeldOutDocuments held_out_;
  Duplicates duplicates_;
  FatesBySubset fates_;
  std::int64_t tokens_ = 0, documents_ = 0;
  PrepareReport report_;
};

}  // namespace

PrepareReport JoinParts(const std::vector<PrepareUnit>& units, const std::filesystem::path& folder,
                        const JoinOptions& options, const TextEncoder& encoder, const CorpusSkips& skips,
                        const std::filesystem::path& out, Progress& progress) {
  return PartJoiner(units, folder, options, encoder, progress).Run(skips, out);
}

}  // namespace longspan
