#include "plan/corpus_sample.h"

#include <algorithm>
#include <chrono>

#include "base/cancel.h"
#include "base/error.h"

namespace longspan {

CorpusSample SampleCorpus(const std::vector<std::filesystem::path>& inputs, const CorpusOptions& options,
                          const TextEncoder& encoder, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  CorpusSample sample;
  Corpus corpus(inputs, options);
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  for (;;) {
    ThrowIfCancelled();
    const auto document = corpus.Next();
    if (!document) break;
    try {
      sample.lengths.push_back(std::ssize(encoder.encode(document->text)));
    } catch (const Error& error) {  // left out by Prepare as well
      if (error.kind() == ErrorKind::kCancelled) throw;
      corpus.SkipDocument(*document, error.what());
    }
    if (elapsed() < seconds) continue;
    const auto total = static_cast<double>(std::max<std::uint64_t>(corpus.total_bytes(), 1));
    sample.share = std::clamp(static_cast<double>(corpus.read_bytes()) / total, 1e-9, 1.0);
    break;
  }
  sample.seconds = elapsed();
  return sample;
}

PreparedLengths Prepared(const std::vector<std::int64_t>& lengths, const PrepareOptions& options, bool eos) {
  using Place = DocumentSorter::Place;
  PreparedLengths prepared;
  DocumentSorter sorter(options);
  for (const std::int64_t length : lengths) {
    const Place place = sorter.Next(length);
    if (place != Place::kTrain && place != Place::kValidation) continue;
    ++prepared.documents;
    prepared.tokens += length;
    std::int64_t begin = 0;
    for (const std::int64_t end : sorter.PieceEnds(length)) {
      const std::int64_t piece = end - begin + (eos && end == length ? 1 : 0);
      (place == Place::kTrain ? prepared.train : prepared.held_out).push_back(piece);
      begin = end;
    }
  }
  return prepared;
}

}  // namespace longspan
