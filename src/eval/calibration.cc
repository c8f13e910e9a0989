#include "eval/calibration.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/cancel.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "model/activation_listener.h"
#include "model/fingerprint.h"
#include "model/kv_cache.h"
#include "model/weight_id.h"

namespace longspan {
namespace {

// Sums of x^2 over the rows, [cols]. Each column is summed in the order of the rows.
std::vector<double> ColumnSquares(ConstRows x) {
  constexpr std::int64_t kColumns = 64;  // of one task
  std::vector<double> sums(static_cast<std::size_t>(x.cols));
  ParallelFor((x.cols + kColumns - 1) / kColumns, [&](std::int64_t task) {
    const std::int64_t first = task * kColumns, end = std::min(x.cols, first + kColumns);
    for (std::int64_t i = 0; i < x.rows; ++i) {
      const float* row = x[i].data();
      for (std::int64_t j = first; j < end; ++j) sums[j] += double{row[j]} * row[j];
    }
  });
  return sums;
}

class Collector : public ActivationListener {
 public:
  explicit Collector(ImportanceMatrix& matrix) : matrix_(matrix) {}

  void Saw(WeightId weight, ConstRows x) override {
    // q, k and v share an input and follow one another, and so do gate and up.
    if (x.data != last_) sums_ = ColumnSquares(x);
    last_ = x.data;
    const std::string name = GgufName(weight);
    if (!std::ranges::all_of(sums_, [](double s) { return std::isfinite(s); })) {
      Fail(ErrorKind::kInvalidFile, "{}: an input is not a finite number; is the model damaged?", name);
    }
    matrix_.Add(name, sums_, x.rows);
  }

 private:
  ImportanceMatrix& matrix_;
  std::vector<double> sums_;
  const float* last_ = nullptr;
};

}  // namespace

std::vector<TokenDocument> CalibrationChunks(std::span<const TokenDocument> documents,
                                             std::optional<std::int32_t> bos, std::int64_t tokens) {
  if (tokens < 2) Fail(ErrorKind::kBadOption, "chunks of {} tokens: expected 2 or more", tokens);
  std::vector<TokenDocument> chunks;
  TokenDocument chunk;
  if (bos) chunk.push_back(*bos);
  for (const TokenDocument& document : documents) {
    for (const std::int32_t token : document) {
      chunk.push_back(token);
      if (std::ssize(chunk) < tokens) continue;
      if (bos) chunk.front() = *bos;
      chunks.push_back(std::move(chunk));
      chunk.clear();
    }
  }
  if (chunks.empty()) Fail(ErrorKind::kBadOption, "the text is shorter than a chunk of {} tokens", tokens);
  return chunks;
}

std::uint64_t CalibrationFingerprint(const Transformer& model, std::span<const TokenDocument> chunks) {
  Hash64 hash;
  hash.Add(Fingerprint(model));
  if (!chunks.empty()) hash.Add(chunks.front().size());
  for (const TokenDocument& chunk : chunks) hash.Update(std::as_bytes(std::span(chunk)));
  return std::max<std::uint64_t>(1, hash.value());
}

void CollectImportance(const Transformer& model, std::span<const TokenDocument> chunks,
                       const CollectOptions& options, ImportanceMatrix& matrix, Progress& progress) {
  const std::int64_t all = std::ssize(chunks);
  const std::int64_t end = options.max_chunks > 0 ? std::min(all, options.max_chunks) : all;
  progress.Start("importance", end, "chunks");
  progress.Resume(matrix.chunks);
  Matrix hidden;
  std::int64_t saved = -1;
  const auto save = [&] {
    if (saved != matrix.chunks) matrix.Save(options.out);
    saved = matrix.chunks;
  };
  while (matrix.chunks < end) {
    if (CancelRequested()) save();
    ThrowIfCancelled();
    const TokenDocument& chunk = chunks[matrix.chunks];
    KvCache cache(model.config(), Type::kF32);
    hidden.Resize(std::ssize(chunk), model.config().dim);
    Collector collector(matrix);
    model.Forward(chunk, cache, hidden, &collector);
    if (options.output && !model.config().tied_embeddings) collector.Saw({-1, Part::kOutput}, hidden);
    ++matrix.chunks;
    if (options.save_every > 0 && matrix.chunks % options.save_every == 0) save();
    progress.Update(matrix.chunks);
  }
  save();
  progress.Finish(options.out.string());
}

}  // namespace longspan
