#include "eval/kld.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "eval/comparison.h"
#include "eval/likelihood.h"
#include "eval/window_reader.h"

namespace longspan {
namespace {

// The value below which `share` of `sorted` lies, interpolated between neighbours.
double Quantile(std::span<const double> sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const auto high = std::min(low + 1, sorted.size() - 1);
  return std::lerp(sorted[low], sorted[high], at - static_cast<double>(low));
}

// The mean of what was added, with its standard error.
class Mean {
 public:
  void Add(double x) {
    ++n_;
    sum_ += x;
    squares_ += x * x;
  }
  double value() const { return sum_ / n_; }
  double error() const {
    return n_ > 1 ? std::sqrt(std::max(0.0, squares_ / n_ - value() * value()) / (n_ - 1)) : 0;
  }
  operator Estimate() const { return {value(), error()}; }

 private:
  double n_ = 0, sum_ = 0, squares_ = 0;
};

class Statistics {
 public:
  // Error(kInvalidFile) where logits are not numbers, because their divergence would pass for 0 or spoil
  // every mean.
  void Add(const Comparison& c) {
    if (!std::isfinite(c.reference_nll))
      Fail(ErrorKind::kInvalidFile, "the reference model's logits are not numbers, after {} tokens",
           tokens());
    if (!std::isfinite(c.nll) || !std::isfinite(c.divergence))
      Fail(ErrorKind::kInvalidFile, "the model's logits are not numbers, after {} tokens", tokens());
    divergences_.push_back(c.divergence);
    divergence_.Add(c.divergence);
    nll_.Add(c.nll);
    reference_nll_.Add(c.reference_nll);
    log_ratio_.Add(c.nll - c.reference_nll);
    const double delta = std::exp(-c.nll) - std::exp(-c.reference_nll);
    delta_.Add(delta);
    delta_square_.Add(delta * delta);
    same_top_.Add(c.same_top ? 1 : 0);
  }

  std::int64_t tokens() const { return std::ssize(divergences_); }
  double mean() const { return divergence_.value(); }

  KldResult Result() {
    std::ranges::sort(divergences_);
    KldResult r;
    r.tokens = tokens();
    r.mean = divergence_.value();
    r.standard_error = divergence_.error();
    r.min = divergences_.front();
    r.median = Quantile(divergences_, 0.5);
    r.p90 = Quantile(divergences_, 0.9);
    r.p95 = Quantile(divergences_, 0.95);
    r.p99 = Quantile(divergences_, 0.99);
    r.p999 = Quantile(divergences_, 0.999);
    r.max = divergences_.back();
    r.same_top = same_top_.value();
    r.same_top_error = same_top_.error();
    r.mean_delta_p = delta_;
    r.rms_delta_p = std::sqrt(delta_square_.value());
    // The error of a root is the error of its argument, divided by twice the root.
    if (r.rms_delta_p > 0) r.rms_delta_p_error = delta_square_.error() / (2 * r.rms_delta_p);
    r.perplexity = std::exp(nll_.value());
    r.reference_perplexity = std::exp(reference_nll_.value());
    r.log_perplexity_ratio = log_ratio_;
    return r;
  }

 private:
  std::vector<double> divergences_;
  Mean divergence_, nll_, reference_nll_, log_ratio_, delta_, delta_square_, same_top_;
};

// What a model is compared with, window by window.
class Reference {
 public:
  virtual ~Reference() = default;
  virtual std::int64_t readers() const { return 0; }  // models that read every window
  virtual void Listen(WindowReader::Listener) {}      // once, before the first window
  virtual void Open(const TokenDocument& document, const Window& window) = 0;
  // Moves on to the next `rows` rows of the window; Compare takes one of them.
  virtual void Next(std::int64_t rows) = 0;
  virtual Comparison Compare(std::int64_t row, std::span<const float> logits, std::int32_t target) const = 0;
};

class ModelReference final : public Reference {
 public:
  ModelReference(Sequence& sequence, std::optional<std::int32_t> bos, std::int64_t chunk)
      : sequence_(sequence), bos_(bos), chunk_(chunk) {}
  std::int64_t readers() const override { return 1; }
  void Listen(WindowReader::Listener listener) override {
    reader_.emplace(sequence_, bos_, std::move(listener), chunk_);
  }
  void Open(const TokenDocument& document, const Window& window) override { reader_->Open(document, window); }
  void Next(std::int64_t) override { reader_->Next(); }
  Comparison Compare(std::int64_t row, std::span<const float> logits, std::int32_t target) const override {
    return longspan::Compare(logits, reader_->logits()[row], target);
  }

 private:
  Sequence& sequence_;
  std::optional<std::int32_t> bos_;
  std::int64_t chunk_;
  std::optional<WindowReader> reader_;
};

// Window i is chunk i of the file.
class FileReference final : public Reference {
 public:
  explicit FileReference(const LogitsFile& file) : file_(file) {}
  void Open(const TokenDocument&, const Window& window) override {
    end_ = window.document * file_.shape().rows_of_chunk();
  }
  void Next(std::int64_t rows) override {
    first_ = end_;
    end_ += rows;
  }
  Comparison Compare(std::int64_t row, std::span<const float> logits, std::int32_t target) const override {
    return longspan::Compare(logits, file_.Row(first_ + row), target);
  }

 private:
  const LogitsFile& file_;
  std::int64_t first_ = 0, end_ = 0;
};

KldResult Measure(Sequence& model, Reference& reference, std::span<const TokenDocument> documents,
                  std::span<const Window> windows, std::optional<std::int32_t> bos, std::int64_t chunk,
                  Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  progress.Start("KL divergence",
                 (1 + reference.readers()) * WindowReader::TokensToRead(windows, bos.has_value()), "tokens");
  std::vector<Comparison> block;
  Statistics statistics;
  std::int64_t read = 0;
  const auto listener = [&](std::int64_t tokens) {
    read += tokens;
    progress.Update(read, statistics.tokens() > 0 ? fmt::format("KL {:.6f}", statistics.mean()) : "");
  };
  WindowReader reader(model, bos, listener, chunk);
  reference.Listen(listener);
  for (const Window& window : windows) {
    const TokenDocument& document = documents[window.document];
    reader.Open(document, window);
    reference.Open(document, window);
    while (reader.Next()) {
      const auto targets = reader.targets();
      reference.Next(std::ssize(targets));
      block.resize(targets.size());
      ParallelFor(std::ssize(targets), [&](std::int64_t i) {
        const auto at = static_cast<std::size_t>(i);
        block[at] = reference.Compare(i, reader.logits()[i], targets[at]);
      });
      for (const Comparison& c : block) statistics.Add(c);
    }
  }
  progress.Finish(fmt::format("KL {:.6f}", statistics.mean()));
  KldResult result = statistics.Result();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

std::vector<Window> WindowsOf(std::span<const TokenDocument> documents, bool bos, const KldOptions& options,
                              std::int64_t max_tokens) {
  if (options.context < 4) Fail(ErrorKind::kBadOption, "context {}: expected 4 or more", options.context);
  std::vector<Window> windows = KldWindows(Lengths(documents), {options.context, max_tokens}, bos);
  if (windows.empty()) {
    const std::vector<std::int64_t> lengths = Lengths(documents);
    Fail(ErrorKind::kBadOption,
         "context {}: no document fills it, the longest of {} has {} tokens; give a longer text or a shorter "
         "context",
         options.context, documents.size(), lengths.empty() ? 0 : std::ranges::max(lengths));
  }
  return windows;
}

// Appends a window's tokens as a chunk of llama.cpp's stream, which is BOS and then the document. A reader
// puts BOS in the place of a chunk's first token again.
void AppendChunk(const TokenDocument& document, const Window& window, std::optional<std::int32_t> bos,
                 std::vector<std::int32_t>& tokens) {
  if (bos) tokens.push_back(window.begin == 0 ? *bos : document[window.begin - 1]);
  tokens.insert(tokens.end(), document.begin() + window.begin, document.begin() + window.end);
}

}  // namespace

std::vector<Window> KldWindows(std::span<const std::int64_t> lengths, const KldOptions& options, bool bos) {
  std::vector<std::vector<Window>> of_documents;
  for (const std::int64_t length : lengths) of_documents.push_back(HalfWindows(length, options.context, bos));
  return InTurn(of_documents, options.max_tokens);
}

KldResult MeasureKld(Sequence& model, Sequence& reference, std::span<const TokenDocument> documents,
                     std::optional<std::int32_t> bos, const KldOptions& options, Progress& progress) {
  if (model.vocab_size() != reference.vocab_size()) {
    Fail(ErrorKind::kBadOption, "the model's vocabulary has {} tokens, the reference's {}",
         model.vocab_size(), reference.vocab_size());
  }
  const std::vector<Window> windows = WindowsOf(documents, bos.has_value(), options, options.max_tokens);
  ModelReference source(reference, bos, options.chunk);
  return Measure(model, source, documents, windows, bos, options.chunk, progress);
}

KldResult MeasureKld(Sequence& model, const LogitsFile& reference, std::optional<std::int32_t> bos,
                     const KldOptions& options, Progress& progress) {
  const LogitsShape& shape = reference.shape();
  if (model.vocab_size() != shape.vocab_size) {
    Fail(ErrorKind::kBadOption, "{}: made for a vocabulary of {} tokens, the model's has {}",
         reference.path().string(), shape.vocab_size, model.vocab_size());
  }
  std::vector<TokenDocument> documents;
  std::vector<std::vector<Window>> windows;
  for (std::int64_t i = 0; i < shape.chunks; ++i) {
    const auto chunk = reference.Chunk(i).subspan(bos ? 1 : 0);
    documents.emplace_back(chunk.begin(), chunk.end());
    windows.push_back(HalfWindows(std::ssize(chunk), shape.context, bos.has_value()));
  }
  FileReference source(reference);
  return Measure(model, source, documents, InTurn(windows, options.max_tokens), bos, options.chunk, progress);
}

SavedLogits SaveLogits(Sequence& reference, std::span<const TokenDocument> documents,
                       std::optional<std::int32_t> bos, const KldOptions& options,
                       const std::filesystem::path& path, Progress& progress) {
  std::vector<Window> windows = WindowsOf(documents, bos.has_value(), options, 0);
  LogitsShape shape{options.context, reference.vocab_size(), std::ssize(windows)};
  if (options.max_tokens > 0) {
    shape.chunks = std::min(shape.chunks, options.max_tokens / shape.rows_of_chunk());
    if (shape.chunks == 0) {
      Fail(ErrorKind::kBadOption, "{} tokens are too few: one window of {} has {} to save",
           options.max_tokens, options.context, shape.rows_of_chunk());
    }
    windows.resize(shape.chunks);
  }
  std::vector<std::int32_t> tokens;
  for (const Window& window : windows) {
    AppendChunk(documents[window.document], window, bos, tokens);
  }

  LogitsWriter writer(path, shape, tokens);
  progress.Start("save logits", WindowReader::TokensToRead(windows, bos.has_value()), "tokens");
  std::int64_t read = 0;
  WindowReader reader(
      reference, bos, [&](std::int64_t n) { progress.Update(read += n); }, options.chunk);
  SavedLogits saved{0, shape.chunks, 0};
  double nll = 0;
  for (const Window& window : windows) {
    reader.Open(documents[window.document], window);
    while (reader.Next()) {
      writer.Write(reader.logits());
      const auto targets = reader.targets();
      for (std::size_t i = 0; i < targets.size(); ++i) {
        nll += NegativeLogLikelihood(reader.logits()[static_cast<std::int64_t>(i)], targets[i]);
      }
      saved.tokens += std::ssize(targets);
    }
  }
  writer.Commit();
  progress.Finish();
  saved.perplexity = std::exp(nll / static_cast<double>(saved.tokens));
  return saved;
}

}  // namespace longspan
