#include "quantize/synthesize.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "encode/encode.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "formats/llama_gguf.h"
#include "model/weights.h"
#include "quantize/weight_drawer.h"
#include "tensor/tensor.h"
#include "text/gguf_vocabulary.h"
#include "text/synthetic_vocabulary.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

constexpr std::int64_t kPieceBytes = std::int64_t{16} << 20;  // drawn before it is written
constexpr std::int64_t kTaskBytes = std::int64_t{64} << 10;   // drawn by one thread

// A tensor as it will be stored.
struct Planned {
  std::string name;  // GGUF's
  InitialTensor tensor;
  Type type;

  std::int64_t rows() const { return tensor.shape.size() > 1 ? tensor.shape.front() : 1; }
  std::int64_t cols() const { return tensor.shape.back(); }
};

std::vector<Planned> Plan(const LlamaConfig& config, const SynthesisTypes& types, Progress& progress) {
  std::vector<TensorInfo> infos;
  std::vector<InitialTensor> tensors = InitialTensors(config);
  for (const InitialTensor& t : tensors) infos.push_back({GgufName(t.id), Type::kF32, t.shape});
  const std::vector<TypeChoice> choices = ChooseTypes(types.mix, infos, types.overrides);
  for (const std::string& line : DescribeFallBacks(choices)) progress.Message(line);
  std::vector<Planned> plan;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    plan.push_back({choices[i].name, std::move(tensors[i]), choices[i].type});
  }
  return plan;
}

// The tokenizer.* keys of a file whose vocabulary fits.
GgufMetadata BorrowedVocabulary(const std::filesystem::path& path, const LlamaConfig& config) {
  const auto file = GgufFile::Open(path);
  const std::int64_t size = Tokenizer::Make(ReadVocabulary(file->metadata()))->vocab_size();
  if (size != config.vocab_size) {
    Fail(ErrorKind::kBadOption, "{}: {} tokens, expected the {} of {}", path.string(), size,
         config.vocab_size, config.name);
  }
  GgufMetadata metadata;
  for (const auto& [key, value] : file->metadata()) {
    if (key.starts_with("tokenizer.")) metadata.Set(key, value);
  }
  return metadata;
}

GgufMetadata Metadata(LlamaConfig config, const SynthesizeOptions& options) {
  GgufMetadata extra;
  if (options.vocabulary.empty())
    WriteVocabulary(SyntheticVocabulary(config.vocab_size), extra);
  else
    extra = BorrowedVocabulary(options.vocabulary, config);
  extra.Set("general.file_type", options.types.mix.file_type);
  extra.Set("general.description", fmt::format("random weights of seed {}, never trained", options.seed));
  config.name += " with random weights";
  return LlamaMetadata(config, extra, options.types.mix.base);
}

// Draws tensors row by row and writes them piece by piece.
class TensorSource {
 public:
  TensorSource(GgufWriter& writer, std::uint64_t seed) : writer_(writer), seed_(seed) {}

  // `index` keeps its rows' random numbers apart from those of other tensors.
  void Write(const Planned& planned, std::uint64_t index) {
    if (planned.tensor.deviation == 0) return WriteOnes(planned);
    const WeightDrawer drawer(planned.type, planned.tensor.deviation);
    const std::int64_t row_bytes = RowBytes(planned.type, planned.cols());
    const std::int64_t step = std::max<std::int64_t>(1, kPieceBytes / row_bytes);
    for (std::int64_t first = 0; first < planned.rows(); first += step) {
      ThrowIfCancelled();
      const std::int64_t rows = std::min(step, planned.rows() - first);
      piece_.resize(rows * row_bytes);
      const std::int64_t task_rows = std::max<std::int64_t>(1, kTaskBytes / row_bytes);
      ParallelFor((rows + task_rows - 1) / task_rows, [&](std::int64_t task) {
        for (std::int64_t i = task * task_rows; i < std::min(rows, (task + 1) * task_rows); ++i) {
          const auto row = static_cast<std::uint64_t>(first + i);
          BulkRandom random(Random(seed_, index << 32 | row, RandomPurpose::kSynthetic));
          drawer.Draw(random, piece_.data() + i * row_bytes, planned.cols());
        }
      });
      writer_.Append(planned.name, piece_);
    }
  }

 private:
  void WriteOnes(const Planned& planned) {
    const std::vector<float> ones(static_cast<std::size_t>(planned.cols()), 1.0f);
    piece_.resize(RowBytes(planned.type, planned.cols()));
    EncodeRow(planned.type, ones.data(), piece_.data(), planned.cols(), nullptr);
    writer_.Append(planned.name, piece_);
  }

  GgufWriter& writer_;
  std::uint64_t seed_;
  AlignedVector<std::byte> piece_;
};

}  // namespace

SynthesisTypes FindSynthesisTypes(std::string_view name) {
  const std::optional<Type> type = TypeFromName(name);
  const bool single = type && CanDraw(*type) &&
                      std::ranges::find(AllMixes(), Traits(*type).name, &Mix::name) == AllMixes().end();
  if (!single) return {FindMix(name), {}};
  // File type 0 means F32, which does not fit this file: the writer chooses one that does.
  return {{Traits(*type).name, *type, 0}, {{}, type, type}};
}

SynthesizeReport SynthesizeFile(const std::filesystem::path& out, const LlamaConfig& config,
                                const SynthesizeOptions& options, Progress& progress) {
  config.Validate(out.string());
  const std::vector<Planned> plan = Plan(config, options.types, progress);
  GgufWriter writer(out, Metadata(config, options));
  SynthesizeReport report;
  for (const Planned& planned : plan) {
    writer.Declare(planned.name, planned.type, planned.tensor.shape);
    report.weights += planned.rows() * planned.cols();
    report.bytes += TensorBytes(planned.type, planned.tensor.shape);
  }
  CheckFreeSpace(out, static_cast<std::uint64_t>(report.bytes));

  progress.Start("draw", report.weights, "weights");
  TensorSource source(writer, options.seed);
  std::int64_t done = 0;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    source.Write(plan[i], i);
    done += plan[i].rows() * plan[i].cols();
    progress.Update(done, plan[i].name);
  }
  progress.Update(done, "waiting for the disk");
  writer.Commit();
  progress.Finish(out.string());
  return report;
}

}  // namespace longspan
