#include "data/prepare.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/error.h"
#include "data/shard_set.h"
#include "data/tokenized_corpus.h"

namespace longspan {
namespace {

using Tokens = std::vector<std::int32_t>;

void Validate(const PrepareOptions& options) {
  if (options.min_tokens < 1) {
    Fail(ErrorKind::kBadOption, "the least document length is {}, expected at least 1", options.min_tokens);
  }
  if (options.max_tokens != 0 && options.max_tokens < options.min_tokens) {
    Fail(ErrorKind::kBadOption, "documents of {} to {} tokens: the range is empty", options.min_tokens,
         options.max_tokens);
  }
  if (options.slice && options.max_tokens == 0) {
    Fail(ErrorKind::kBadOption, "slicing needs the most tokens of a slice");
  }
  if (!(options.validation_share >= 0 && options.validation_share < 1)) {
    Fail(ErrorKind::kBadOption, "a validation share of {}, expected [0, 1)", options.validation_share);
  }
}

// Writes documents to the shards where they belong.
class Writer {
 public:
  using Place = DocumentSorter::Place;

  Writer(const TextEncoder& encoder, const PrepareOptions& options, const std::filesystem::path& out)
      : sorter_(options), eos_(options.append_eos ? encoder.eos : -1), shards_(out, VocabularyOf(encoder)) {}

  void Add(const Tokens& tokens) {
    ++report_.documents;
    const std::int64_t length = std::ssize(tokens);
    const Place place = sorter_.Next(length);
    report_.too_short += place == Place::kTooShort;
    report_.too_long += place == Place::kTooLong;
    if (place != Place::kTrain && place != Place::kValidation) return;
    ShardWriter& shard = place == Place::kValidation ? shards_.validation() : shards_.train();
    const std::vector<std::int64_t> ends = sorter_.PieceEnds(length);
    ++report_.kept;
    report_.sliced += ends != std::vector{length};
    std::int64_t begin = 0;
    for (const std::int64_t end : ends) {
      const std::span piece(tokens.begin() + begin, tokens.begin() + end);
      begin = end;
      if (end < length || eos_ < 0) {
        shard.Add(piece);
      } else {
        Tokens last(piece.begin(), piece.end());
        last.push_back(eos_);
        shard.Add(last);
      }
    }
  }

  PrepareReport Finish(const CorpusSkips& skips) {
    const ShardWriter& train = shards_.train();
    const ShardWriter& validation = shards_.validation();
    if (train.documents() == 0) {
      Fail(ErrorKind::kBadOption,
           "no document is left to train on: {} found, {} too short, {} too long, {} held out{}{}{}{}{}",
           report_.documents, report_.too_short, report_.too_long, report_.kept,
           report_.kept > 0 ? "; lower the validation share" : "", skips.lost() > 0 ? "; " : "",
           skips.Summary(), skips.lost() > 0 ? " could not be used" : "",
           skips.first().empty() ? "" : fmt::format("; first: {}", skips.first()));
    }
    report_.skips = skips;
    report_.train_pieces = train.documents();
    report_.train_tokens = train.tokens();
    report_.validation_pieces = validation.documents();
    report_.validation_tokens = validation.tokens();
    shards_.Commit();
    return report_;
  }

 private:
  DocumentSorter sorter_;
  std::int32_t eos_;
  ShardSetWriter shards_;
  PrepareReport report_;
};

}  // namespace

DocumentSorter::DocumentSorter(const PrepareOptions& options)
    : min_tokens_(options.min_tokens),
      max_tokens_(options.max_tokens),
      slice_(options.slice),
      validation_share_(options.validation_share) {
  Validate(options);
}

DocumentSorter::Place DocumentSorter::Next(std::int64_t length) {
  if (length < min_tokens_) return Place::kTooShort;
  if (max_tokens_ != 0 && length > max_tokens_ && !slice_) return Place::kTooLong;
  // Every 1/share-th of the kept documents, from the middle of the first such stretch on.
  const auto held_out = [this](std::int64_t n) {
    return std::floor(static_cast<double>(n) * validation_share_ + 0.5);
  };
  const std::int64_t before = kept_++;
  return held_out(kept_) > held_out(before) ? Place::kValidation : Place::kTrain;
}

std::vector<std::int64_t> DocumentSorter::PieceEnds(std::int64_t length) const {
  const std::int64_t step = max_tokens_ != 0 ? std::min(length, max_tokens_) : length;
  std::vector<std::int64_t> ends;
  for (std::int64_t begin = 0; begin < length; begin += step) {
    const std::int64_t end = std::min(begin + step, length);
    if (end - begin < min_tokens_) break;
    ends.push_back(end);
  }
  return ends;
}

PrepareReport Prepare(const std::vector<std::filesystem::path>& inputs, const TextEncoder& encoder,
                      const PrepareOptions& options, const std::filesystem::path& out, Progress& progress) {
  TokenizedCorpus documents(inputs, options.corpus, encoder);
  const Corpus& corpus = documents.corpus();
  Writer writer(encoder, options, out);
  progress.Start("prepare", static_cast<std::int64_t>(corpus.total_bytes()), "bytes");
  std::int64_t found = 0;
  std::vector<Tokens> batch;
  while (documents.Next(batch)) {
    for (const Tokens& document : batch) writer.Add(document);
    found += std::ssize(batch);
    progress.Update(static_cast<std::int64_t>(corpus.read_bytes()), fmt::format("{} documents", found));
  }
  PrepareReport report = writer.Finish(corpus.skips());
  progress.Finish(fmt::format("{} documents kept of {}", report.kept, report.documents));
  return report;
}

}  // namespace longspan
