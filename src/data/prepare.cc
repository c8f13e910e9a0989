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

// Sorts documents into the shards.
class Sorter {
 public:
  Sorter(const TextEncoder& encoder, const PrepareOptions& options, const std::filesystem::path& out)
      : options_(options), eos_(options.append_eos ? encoder.eos : -1), shards_(out, VocabularyOf(encoder)) {}

  void Add(const Tokens& tokens) {
    ++report_.documents;
    const std::int64_t length = std::ssize(tokens);
    const bool over = options_.max_tokens != 0 && length > options_.max_tokens;
    if (length < options_.min_tokens) {
      ++report_.too_short;
      return;
    }
    if (over && !options_.slice) {
      ++report_.too_long;
      return;
    }
    ShardWriter& shard = NextIsValidation() ? shards_.validation() : shards_.train();
    ++report_.kept;
    report_.sliced += over;
    const std::int64_t step = over ? options_.max_tokens : length;
    for (std::int64_t begin = 0; begin < length; begin += step) {
      const std::int64_t end = std::min(begin + step, length);
      if (end - begin < options_.min_tokens) break;
      const std::span piece(tokens.begin() + begin, tokens.begin() + end);
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
           "no document is left to train on: {} found, {} too short, {} too long{}{}{}{}", report_.documents,
           report_.too_short, report_.too_long, skips.lost() > 0 ? "; " : "", skips.Summary(),
           skips.lost() > 0 ? " could not be used" : "",
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
  // Whether the next kept document goes to validation: one in every 1/share documents does, beginning with
  // the middle one of the first 1/share.
  bool NextIsValidation() const {
    const auto Count = [this](std::int64_t n) {
      return std::floor(static_cast<double>(n) * options_.validation_share + 0.5);
    };
    return Count(report_.kept + 1) > Count(report_.kept);
  }

  const PrepareOptions& options_;
  std::int32_t eos_;
  ShardSetWriter shards_;
  PrepareReport report_;
};

}  // namespace

PrepareReport Prepare(const std::vector<std::filesystem::path>& inputs, const TextEncoder& encoder,
                      const PrepareOptions& options, const std::filesystem::path& out, Progress& progress) {
  Validate(options);
  TokenizedCorpus documents(inputs, options.corpus, encoder);
  const Corpus& corpus = documents.corpus();
  Sorter sorter(encoder, options, out);
  progress.Start("prepare", static_cast<std::int64_t>(corpus.total_bytes()), "bytes");
  std::int64_t found = 0;
  std::vector<Tokens> batch;
  while (documents.Next(batch)) {
    for (const Tokens& document : batch) sorter.Add(document);
    found += std::ssize(batch);
    progress.Update(static_cast<std::int64_t>(corpus.read_bytes()), fmt::format("{} documents", found));
  }
  const PrepareReport report = sorter.Finish(corpus.skips());
  progress.Finish(fmt::format("{} documents kept of {}", report.kept, report.documents));
  return report;
}

}  // namespace longspan
