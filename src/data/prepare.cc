#include "data/prepare.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/error.h"
#include "base/parallel.h"
#include "data/shard.h"

namespace longspan {
namespace {

using Tokens = std::vector<std::int32_t>;

constexpr std::size_t kBatchDocuments = 256;
// Of text tokenised at once, give or take one document.
constexpr std::size_t kBatchBytes = std::size_t{32} << 20;

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

// Reads documents until a batch is full; false at the end of the corpus.
bool ReadBatch(Corpus& corpus, std::vector<Document>& batch) {
  batch.clear();
  for (std::size_t bytes = 0; batch.size() < kBatchDocuments && bytes < kBatchBytes;) {
    auto document = corpus.Next();
    if (!document) break;
    bytes += document->text.size();
    batch.push_back(std::move(*document));
  }
  return !batch.empty();
}

// Sorts documents into the shards.
class Sorter {
 public:
  Sorter(const TextEncoder& encoder, const PrepareOptions& options, const std::filesystem::path& out)
      : options_(options),
        eos_(options.append_eos ? encoder.eos : -1),
        train_(out / ShardSet::kTrain, {encoder.vocab_size, encoder.bos, encoder.eos}),
        validation_(out / ShardSet::kValidation, {encoder.vocab_size, encoder.bos, encoder.eos}) {}

  void Add(Tokens tokens) {
    ++report_.documents;
    const auto length = static_cast<std::int64_t>(tokens.size());
    const bool over = options_.max_tokens != 0 && length > options_.max_tokens;
    if (length < options_.min_tokens) {
      ++report_.too_short;
      return;
    }
    if (over && !options_.slice) {
      ++report_.too_long;
      return;
    }
    ShardWriter& shard = NextIsValidation() ? validation_ : train_;
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

  PrepareReport Finish(const std::filesystem::path& out, const CorpusSkips& skips) {
    report_.skips = skips;
    if (train_.documents() == 0) {
      Fail(ErrorKind::kBadOption,
           "no document is left to train on: {} found, {} too short, {} too long, {} unusable{}{}",
           report_.documents, report_.too_short, report_.too_long, skips.lines + skips.files,
           skips.first.empty() ? "" : "; first: ", skips.first);
    }
    report_.train_pieces = train_.documents();
    report_.train_tokens = train_.tokens();
    report_.validation_pieces = validation_.documents();
    report_.validation_tokens = validation_.tokens();
    // Without validation, an earlier run's would be of other documents.
    if (validation_.documents() > 0)
      validation_.Commit();
    else
      std::filesystem::remove(out / ShardSet::kValidation);
    train_.Commit();
    return report_;
  }

 private:
  // Every 1/share-th of the kept documents, from the middle of the first such stretch on.
  bool NextIsValidation() const {
    const auto Count = [this](std::int64_t n) {
      return std::floor(static_cast<double>(n) * options_.validation_share + 0.5);
    };
    return Count(report_.kept + 1) > Count(report_.kept);
  }

  const PrepareOptions& options_;
  std::int32_t eos_;
  ShardWriter train_, validation_;
  PrepareReport report_;
};

}  // namespace

PrepareReport Prepare(const std::vector<std::filesystem::path>& inputs, const TextEncoder& encoder,
                      const PrepareOptions& options, const std::filesystem::path& out, Progress& progress) {
  Validate(options);
  Corpus corpus(inputs, options.corpus);
  Sorter sorter(encoder, options, out);
  progress.Start("prepare", static_cast<std::int64_t>(corpus.total_bytes()), "bytes");
  std::int64_t documents = 0;
  std::vector<Document> batch;
  while (ReadBatch(corpus, batch)) {
    std::vector<Tokens> tokens(batch.size());
    ParallelFor(static_cast<std::int64_t>(batch.size()), [&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(i);
      tokens[at] = encoder.encode(batch[at].text);
    });
    for (Tokens& document : tokens) sorter.Add(std::move(document));
    documents += static_cast<std::int64_t>(batch.size());
    progress.Update(static_cast<std::int64_t>(corpus.read_bytes()), fmt::format("{} documents", documents));
  }
  PrepareReport report = sorter.Finish(out, corpus.skips());
  progress.Finish(fmt::format("{} documents kept of {}", report.kept, report.documents));
  return report;
}

}  // namespace longspan
