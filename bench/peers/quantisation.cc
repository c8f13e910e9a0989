// Quantisation compared with llama.cpp: for every type the error and the speed of both encoders on a real
// model's matrices, and how far files by both are from the model that they were made of. Prints the tables of
// docs/quantisation.md.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>

#include "base/error.h"
#include "base/parallel.h"
#include "base/testing/temporary_folder.h"
#include "bench/peers/llama_file.h"
#include "data/corpus.h"
#include "encode/encode.h"
#include "eval/calibration.h"
#include "eval/kld.h"
#include "infer/loaded_model.h"
#include "quantize/quantize.h"
#include "tensor/codec.h"

namespace longspan::peers {
namespace {

struct Options {
  std::string model = LONGSPAN_SOURCE_DIR "/models/longspan-base.gguf";
  std::vector<std::string> calibration, text, only;
  std::int64_t calibration_tokens = 65536, text_tokens = 4096;
  int threads = 0;
  double seconds = 1.0;  // of timing an encoder, once each has done its first pass
};

struct Matrix {
  std::string name;
  Tensor values;                  // F32
  std::vector<float> importance;  // [cols]; empty where the text says nothing of it
};

using Encoder = std::function<void(Type, const float* values, std::byte* blocks, std::int64_t rows,
                                   std::int64_t cols, const float* importance)>;

// An encoder's blocks of all matrices, and what they cost.
class Encoding {
 public:
  Encoding(Type type, std::span<const Matrix> matrices, const Encoder& encode, bool weighted,
           bool equal_weights)
      : type_(type), matrices_(matrices), encode_(encode), weighted_(weighted) {
    std::int64_t longest = 0;
    for (std::size_t m = 0; m < matrices.size(); ++m) {
      const Tensor& values = matrices[m].values;
      longest = std::max(longest, values.cols());
      blocks_.emplace_back(static_cast<std::size_t>(values.rows() * RowBytes(type, values.cols())));
      const std::int64_t step = std::max<std::int64_t>(1, kTaskWeights / values.cols());
      for (std::int64_t row = 0; row < values.rows(); row += step) {
        tasks_.push_back({m, row, std::min(step, values.rows() - row)});
      }
    }
    if (equal_weights) equal_.assign(static_cast<std::size_t>(longest), 1.0f);
    Run(tasks_.front());  // what an encoder prepares once is not timed
  }

  double Seconds() const {
    const auto start = std::chrono::steady_clock::now();
    ParallelFor(std::ssize(tasks_), [&](std::int64_t i) { Run(tasks_[i]); });
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  // Root mean square of the error relative to that of the values, each square weighted by its column's
  // importance.
  double Error() const {
    std::vector<std::pair<double, double>> sums(tasks_.size());
    ParallelFor(std::ssize(tasks_), [&](std::int64_t i) {
      const Task& task = tasks_[i];
      const Matrix& matrix = matrices_[task.matrix];
      const std::int64_t cols = matrix.values.cols();
      std::vector<float> decoded(static_cast<std::size_t>(cols));
      auto& [error, square] = sums[i];
      for (std::int64_t row = task.row; row < task.row + task.rows; ++row) {
        DecodeRow(type_, Blocks(task.matrix, row), decoded.data(), cols);
        const std::span<const float> values = matrix.values.AsRows()[row];
        for (std::size_t c = 0; c < decoded.size(); ++c) {
          const double weight = weighted_ && !matrix.importance.empty() ? matrix.importance[c] : 1.0;
          const double miss = double{values[c]} - decoded[c];
          error += weight * miss * miss;
          square += weight * values[c] * values[c];
        }
      }
    });
    double error = 0, square = 0;
    for (const auto& [e, s] : sums) error += e, square += s;
    return std::sqrt(error / square);
  }

 private:
  static constexpr std::int64_t kTaskWeights = 16384;
  struct Task {
    std::size_t matrix;
    std::int64_t row, rows;
  };

  std::byte* Blocks(std::size_t matrix, std::int64_t row) const {
    return blocks_[matrix].data() + row * RowBytes(type_, matrices_[matrix].values.cols());
  }
  void Run(const Task& task) const {
    const Matrix& matrix = matrices_[task.matrix];
    const float* importance = equal_.empty() ? nullptr : equal_.data();
    if (weighted_ && !matrix.importance.empty()) importance = matrix.importance.data();
    encode_(type_, matrix.values.AsRows()[task.row].data(), Blocks(task.matrix, task.row), task.rows,
            matrix.values.cols(), importance);
  }

  Type type_;
  std::span<const Matrix> matrices_;
  const Encoder& encode_;
  bool weighted_;
  mutable std::vector<std::vector<std::byte>> blocks_;
  std::vector<Task> tasks_;
  std::vector<float> equal_;
};

// What one of the two programs achieves with a type or a mix.
struct Result {
  double error = 0, weighted_error = 0, seconds = 0, divergence = 0, weighted_divergence = 0;
};
struct Line {
  std::string name;
  double bits = 0;
  bool needs_importance = false;
  Result ours, theirs;
};

class Comparison {
 public:
  Comparison(const Options& options, const LlamaLibrary& library)
      : options_(options), library_(library), reference_(options.model) {
    TransformerSequence sequence(reference_.transformer());
    SaveLogits(sequence, Read(options.text), reference_.bos(),
               {.context = reference_.config().context, .max_tokens = options.text_tokens},
               folder_ / "logits");
    logits_.emplace(folder_ / "logits");
    Calibrate();
    const auto file = GgufFile::Open(options.model);
    for (const GgufTensor& tensor : file->tensors()) {
      if (tensor.shape.size() < 2) continue;
      Matrix matrix{tensor.name, file->LoadTensor(tensor.name).ToF32(), {}};
      matrix.importance = importance_.MeanSquares(tensor.name, 1, matrix.values.cols());
      weights_ += tensor.elements();
      matrices_.push_back(std::move(matrix));
    }
  }

  bool Wants(std::string_view name) const {
    return options_.only.empty() || std::ranges::find(options_.only, name) != options_.only.end();
  }

  Line CompareType(Type type) {
    Line line = Named(std::string(Traits(type).name), type);
    Encode(type, line);
    Mix mix{.name = Traits(type).name, .base = type, .file_type = 0};
    MixOverrides overrides;
    overrides.output_type = overrides.embedding_type = type;
    Diverge(mix, overrides, line);
    return line;
  }

  Line CompareMix(const Mix& mix) {
    Line line = Named(std::string(mix.name), mix.base);
    QuantizeOptions sizes;
    sizes.dry_run = sizes.allow_no_imatrix = true;
    line.bits = QuantizeFile(options_.model, folder_ / "ours.gguf", mix, sizes, NoProgress()).BitsPerWeight();
    Diverge(mix, {}, line);
    return line;
  }

  void PrintHeading() const {
    fmt::print("{}, {:.1f} million weights in matrices; {} threads\n\n",
               std::filesystem::path(options_.model).filename().string(), static_cast<double>(weights_) / 1e6,
               Threads());
  }
  double MillionsPerSecond(double seconds) const { return static_cast<double>(weights_) / 1e6 / seconds; }

 private:
  std::vector<TokenDocument> Read(const std::vector<std::string>& paths) const {
    std::vector<TokenDocument> documents;
    Corpus corpus(std::vector<std::filesystem::path>(paths.begin(), paths.end()), {});
    while (const auto document = corpus.Next())
      documents.push_back(reference_.tokenizer().Encode(document->text));
    return documents;
  }

  void Calibrate() {
    const std::int64_t context = reference_.config().context;
    const auto chunks = CalibrationChunks(Read(options_.calibration), reference_.bos(), context);
    CollectOptions collect;
    collect.out = folder_ / "imatrix.gguf";
    collect.max_chunks = std::max<std::int64_t>(1, options_.calibration_tokens / context);
    collect.output = true;
    CollectImportance(reference_.transformer(), chunks, collect, importance_);
  }

  Line Named(std::string name, Type type) const {
    std::fprintf(stderr, "%s\n", name.c_str());
    return {std::move(name), Traits(type).BitsPerWeight(), library_.NeedsImportance(type), {}, {}};
  }

  void Encode(Type type, Line& line) const {
    const Encoder ours = [](Type t, const float* values, std::byte* blocks, std::int64_t rows,
                            std::int64_t cols, const float* importance) {
      EncodeRows(t, values, blocks, rows, cols, importance);
    };
    const Encoder theirs = [this](Type t, const float* values, std::byte* blocks, std::int64_t rows,
                                  std::int64_t cols, const float* importance) {
      library_.QuantizeRows(t, values, blocks, rows, cols, importance);
    };
    const Encoding plain[] = {{type, matrices_, ours, false, line.needs_importance},
                              {type, matrices_, theirs, false, line.needs_importance}};
    Result* const results[] = {&line.ours, &line.theirs};
    double spent = 0;
    for (Result* result : results) result->seconds = std::numeric_limits<double>::infinity();
    do {  // alternately, so that other load meets both alike; the best of each counts
      for (int i : {0, 1}) {
        const double seconds = plain[i].Seconds();
        spent += seconds;
        results[i]->seconds = std::min(results[i]->seconds, seconds);
      }
    } while (spent < 2 * options_.seconds);
    for (int i : {0, 1}) results[i]->error = plain[i].Error();
    const Encoding weighted[] = {{type, matrices_, ours, true, line.needs_importance},
                                 {type, matrices_, theirs, true, line.needs_importance}};
    for (int i : {0, 1}) {
      weighted[i].Seconds();
      results[i]->weighted_error = weighted[i].Error();
    }
  }

  // Writes the files and measures them. Both have the same types, so that encoders are compared, not mixes.
  void Diverge(const Mix& mix, const MixOverrides& overrides, Line& line) {
    for (const bool weighted : {false, true}) {
      QuantizeOptions quantize{.overrides = overrides, .importance = weighted ? &importance_ : nullptr};
      quantize.overrides.has_matrix = weighted;
      quantize.allow_no_imatrix = true;
      const auto ours = folder_ / "ours.gguf", theirs = folder_ / "theirs.gguf";
      QuantizeFile(options_.model, ours, mix, quantize, NoProgress());
      WriteAsLlama(library_, options_.model, ours, theirs,
                   [&](std::string_view tensor, std::int64_t) -> const float* {
                     const auto found = std::ranges::find(matrices_, tensor, &Matrix::name);
                     const bool known = weighted && found != matrices_.end() && !found->importance.empty();
                     return known ? found->importance.data() : nullptr;
                   });
      (weighted ? line.ours.weighted_divergence : line.ours.divergence) = Divergence(ours);
      (weighted ? line.theirs.weighted_divergence : line.theirs.divergence) = Divergence(theirs);
    }
  }

  double Divergence(const std::filesystem::path& path) {
    const LoadedModel model(path);
    TransformerSequence sequence(model.transformer());
    return MeasureKld(sequence, *logits_, reference_.bos(), {.max_tokens = options_.text_tokens}).mean;
  }

  const Options& options_;
  const LlamaLibrary& library_;
  TestFolder folder_;
  LoadedModel reference_;
  std::optional<LogitsFile> logits_;
  ImportanceMatrix importance_;
  std::vector<Matrix> matrices_;
  std::int64_t weights_ = 0;
};

void PrintTypes(const Comparison& comparison, std::span<const Line> lines) {
  fmt::print(
      "| type | bits per weight | error | llama.cpp's | weighted error with a matrix | llama.cpp's "
      "| million weights/s | llama.cpp's | ratio |\n|---|---|---|---|---|---|---|---|---|\n");
  for (const Line& line : lines) {
    fmt::print("| {}{} | {:.4g} | {:.3f}% | {:.3f}% | {:.3f}% | {:.3f}% | {:.4g} | {:.4g} | {:.1f} |\n",
               line.name, line.needs_importance ? " \\*" : "", line.bits, 100 * line.ours.error,
               100 * line.theirs.error, 100 * line.ours.weighted_error, 100 * line.theirs.weighted_error,
               comparison.MillionsPerSecond(line.ours.seconds),
               comparison.MillionsPerSecond(line.theirs.seconds), line.theirs.seconds / line.ours.seconds);
  }
  fmt::print(
      "\n\\* llama.cpp makes these with a matrix only; where there is none, both got equal weights.\n\n");
}

void PrintDivergence(std::span<const Line> lines, std::string_view what) {
  fmt::print(
      "| {} | bits per weight | KL divergence | llama.cpp's | with a matrix | llama.cpp's |\n"
      "|---|---|---|---|---|---|\n",
      what);
  for (const Line& line : lines) {
    fmt::print("| {} | {:.4g} | {:.5f} | {:.5f} | {:.5f} | {:.5f} |\n", line.name, line.bits,
               line.ours.divergence, line.theirs.divergence, line.ours.weighted_divergence,
               line.theirs.weighted_divergence);
  }
  fmt::print("\n");
}

int Run(const Options& options) {
  const auto library = LlamaLibrary::Require(LONGSPAN_SOURCE_DIR);
  if (options.threads > 0) SetThreads(options.threads);
  Comparison comparison(options, *library);
  std::vector<Line> types, mixes;
  for (std::uint32_t id = 0; id < 64; ++id) {
    const auto type = TypeFromId(id);
    const bool quantised = type && CanEncode(*type) && CanDecode(*type) && Traits(*type).block_elements > 1;
    if (quantised && comparison.Wants(Traits(*type).name)) types.push_back(comparison.CompareType(*type));
  }
  for (const Mix& mix : AllMixes()) {
    const bool possible = Traits(mix.base).block_elements > 1 && CanEncode(mix.base);
    if (possible && comparison.Wants(mix.name)) mixes.push_back(comparison.CompareMix(mix));
  }
  comparison.PrintHeading();
  PrintTypes(comparison, types);
  PrintDivergence(types, "type of every matrix");
  PrintDivergence(mixes, "mix");
  return 0;
}

}  // namespace
}  // namespace longspan::peers

int main(int argc, char** argv) {
  longspan::peers::Options options;
  CLI::App app("Quantisation compared with llama.cpp, as Markdown tables");
  app.add_option("MODEL", options.model, "GGUF file in F16, BF16 or F32 (default: the embedded base model)")
      ->check(CLI::ExistingFile);
  app.add_option("--calibration", options.calibration, "Texts that importance is measured on")->required();
  app.add_option("--text", options.text, "Texts that divergence is measured on")->required();
  app.add_option("--calibration-tokens", options.calibration_tokens, "At most so many of them")
      ->capture_default_str();
  app.add_option("--text-tokens", options.text_tokens, "Score at most so many")->capture_default_str();
  app.add_option("--only", options.only, "Only these types and mixes")->delimiter(',');
  app.add_option("--threads", options.threads, "Threads (default: one per processor)");
  app.add_option("--seconds", options.seconds, "Time each encoder for so long, or one pass")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return longspan::peers::Run(options);
  } catch (const longspan::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return longspan::ExitCode(error.kind());
  }
}
