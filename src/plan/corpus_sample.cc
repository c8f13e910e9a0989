#include "plan/corpus_sample.h"

#include <algorithm>
#include <chrono>

#include "base/cancel.h"

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
    sample.lengths.push_back(std::ssize(encoder.encode(document->text)));
    if (elapsed() < seconds) continue;
    const auto total = static_cast<double>(std::max<std::uint64_t>(corpus.total_bytes(), 1));
    sample.share = std::clamp(static_cast<double>(corpus.read_bytes()) / total, 1e-9, 1.0);
    break;
  }
  sample.seconds = elapsed();
  return sample;
}

}  // namespace longspan
