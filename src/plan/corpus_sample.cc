#include "plan/corpus_sample.h"

#include <algorithm>
#include <chrono>
#include <set>

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
      const auto length = std::ssize(encoder.encode(document->text));
      sample.lengths.push_back(length);
      sample.hashes.push_back(HashText(document->text));
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

PreparedLengths Prepared(const std::vector<std::int64_t>& lengths, const std::vector<TextHash>& hashes,
                         const PrepareOptions& options, bool eos) {
  PreparedLengths prepared;
  HeldOutDocuments held_out(options.validation_share);
  std::set<TextHash> seen;
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (Judge(lengths[i], options.limits) != LengthVerdict::kFits || !seen.insert(hashes[i]).second) continue;
    held_out.Add(hashes[i]);
    kept.push_back(i);
  }
  for (const std::size_t i : kept) {
    const std::int64_t length = lengths[i];
    ++prepared.documents;
    prepared.tokens += length;
    std::vector<std::int64_t>& pieces = held_out.Contains(hashes[i]) ? prepared.held_out : prepared.train;
    std::int64_t begin = 0;
    for (const std::int64_t end : PieceEnds(length, options.limits)) {
      pieces.push_back(end - begin + (eos && end == length ? 1 : 0));
      begin = end;
    }
  }
  return prepared;
}

}  // namespace longspan
