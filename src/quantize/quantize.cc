#include "quantize/quantize.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/cancel.h"
#include "base/error.h"
#include "encode/encode.h"
#include "formats/byte_reader.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "quantize/importance.h"
#include "tensor/codec.h"
#include "tensor/tensor.h"

namespace longspan {
namespace {

constexpr std::uint32_t kQuantizationVersion = 2;  // of ggml's blocks, as they are since 2023

bool IsQuantized(Type type) { return Traits(type).block_elements > 1; }

bool IsCopied(const GgufTensor& tensor, const TypeChoice& choice) {
  // Floats go through the encoder even where their type stays, because that checks every value.
  return choice.type == tensor.type && (IsQuantized(tensor.type) || !CanEncode(tensor.type));
}

void CheckPossible(const GgufFile& file, const GgufTensor& tensor, const TypeChoice& choice,
                   bool allow_requantize) {
  if (IsCopied(tensor, choice)) return;
  const std::string path = file.path().string();
  if (!CanDecode(tensor.type)) {
    Fail(ErrorKind::kUnsupported, "{}: tensor {} is {}, which longspan does not decode", path, tensor.name,
         Traits(tensor.type).name);
  }
  if (!CanEncode(choice.type)) {
    Fail(ErrorKind::kUnsupported, "{}: tensor {} should become {}, which longspan does not encode", path,
         tensor.name, Traits(choice.type).name);
  }
  if (IsQuantized(tensor.type) && choice.type != Type::kF32 && !allow_requantize) {
    Fail(ErrorKind::kBadOption,
         "{}: tensor {} is already {}; quantise the original, or accept the loss with --allow-requantize",
         path, tensor.name, Traits(tensor.type).name);
  }
}

// How many matrices a tensor stacks: experts, each with importances of its own.
std::int64_t Matrices(const GgufTensor& tensor) {
  const std::size_t dims = tensor.shape.size();
  if (dims <= 2 || tensor.elements() == 0) return 1;
  return tensor.elements() / (tensor.shape[dims - 1] * tensor.shape[dims - 2]);
}

void CheckImportance(const GgufFile& file, const GgufTensor& tensor, const Mix& mix, const TypeChoice& choice,
                     const QuantizeOptions& options) {
  // Find a wrong width now rather than after half of the file.
  const bool given = options.importance != nullptr && IsQuantized(choice.type) &&
                     !options.importance->MeanSquares(choice.name, Matrices(tensor), choice.cols).empty();
  if (given || options.allow_no_imatrix || !NeedsImportance(mix, choice)) return;
  Fail(ErrorKind::kBadOption,
       "{}: tensor {} as {} is of little use without an importance matrix{}; make one with 'longspan imatrix "
       "{} "
       "TEXT -o imatrix.gguf' and pass it with --imatrix, or take the loss with --allow-no-imatrix",
       file.path().string(), choice.name, Traits(choice.type).name,
       options.importance != nullptr ? ", and the one given has no entry for it" : "", file.path().string());
}

std::vector<TypeChoice> Plan(const GgufFile& file, const Mix& mix, const QuantizeOptions& options) {
  MixOverrides overrides = options.overrides;
  overrides.has_matrix = options.importance != nullptr;
  std::vector<TypeChoice> choices = ChooseTypes(mix, TensorInfos(file), overrides);
  if (options.dry_run) return choices;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    CheckPossible(file, file.tensors()[i], choices[i], options.allow_requantize);
    if (IsCopied(file.tensors()[i], choices[i])) continue;
    CheckImportance(file, file.tensors()[i], mix, choices[i], options);
  }
  return choices;
}

// Otherwise a matrix with another model's names would be ignored in silence.
void CheckImportanceNames(const GgufFile& file, const std::vector<TypeChoice>& choices,
                          const QuantizeOptions& options, Progress& progress) {
  if (options.importance == nullptr) return;
  std::int64_t wanted = 0;
  std::vector<std::string_view> missing;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (!IsQuantized(choices[i].type) || IsCopied(file.tensors()[i], choices[i])) continue;
    ++wanted;
    if (options.importance->Find(choices[i].name) == nullptr) missing.push_back(choices[i].name);
  }
  if (missing.empty()) return;
  const std::string& matrix = options.importance->source();
  if (std::ssize(missing) == wanted) {
    const auto& entries = options.importance->entries();
    Fail(
        ErrorKind::kBadOption,
        "{}: none of its {} entries is for a matrix of {} (it has {}{}); make one for this model with "
        "'longspan "
        "imatrix', or leave it out",
        matrix, entries.size(), file.path().string(), missing.front(),
        entries.empty() ? "" : fmt::format(", the entries begin with {}", Printable(entries.begin()->first)));
  }
  progress.Message(fmt::format(
      "{}: {} of {} matrices have no entry ({}{}) and are quantised without importances", matrix,
      missing.size(), wanted,
      fmt::join(missing.begin(), missing.begin() + std::min<std::ptrdiff_t>(3, std::ssize(missing)), ", "),
      missing.size() > 3 ? ", ..." : ""));
}

GgufMetadata OutputMetadata(const GgufFile& file, const Mix& mix, const ImportanceMatrix* importance) {
  GgufMetadata metadata = file.metadata();
  metadata.Set("general.file_type", mix.file_type);
  metadata.Set("general.quantization_version", kQuantizationVersion);
  if (importance != nullptr) {
    // The keys that llama-quantize writes.
    metadata.Set("quantize.imatrix.file", importance->source());
    if (!importance->datasets.empty()) metadata.Set("quantize.imatrix.dataset", importance->datasets.front());
    metadata.Set("quantize.imatrix.entries_count", static_cast<std::uint32_t>(importance->entries().size()));
    metadata.Set("quantize.imatrix.chunks_count", static_cast<std::uint32_t>(importance->chunks));
  }
  return metadata;
}

EncodingError ReencodeTensor(const GgufTensor& tensor, const TypeChoice& choice,
                             const ImportanceMatrix* importance,
                             FunctionRef<void(std::span<const std::byte>)> write,
                             FunctionRef<void(std::span<const std::byte>)> release) {
  const std::int64_t cols = choice.cols;
  std::vector<float> squares;
  if (importance != nullptr && IsQuantized(choice.type))
    squares = importance->MeanSquares(tensor.name, Matrices(tensor), cols);
  const std::int64_t matrices = squares.empty() ? 1 : Matrices(tensor);
  const std::int64_t rows = cols > 0 ? tensor.elements() / cols / matrices : 0;
  EncodingError total;
  const auto from_bytes = static_cast<std::size_t>(rows * RowBytes(tensor.type, cols));
  for (std::int64_t m = 0; m < matrices; ++m) {
    const auto at = static_cast<std::size_t>(m);
    total.Add(ReencodeTo(write, release, tensor.type, tensor.bytes.subspan(at * from_bytes, from_bytes),
                         choice.type, rows, cols, squares.empty() ? nullptr : squares.data() + m * cols));
  }
  return total;
}

QuantizeReport CountBytes(const GgufFile& file, std::vector<TypeChoice> choices) {
  QuantizeReport report;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const GgufTensor& tensor = file.tensors()[i];
    const std::int64_t bytes = TensorBytes(choices[i].type, tensor.shape);
    TypeReport& type = report.types[choices[i].type];
    ++type.tensors;
    type.elements += tensor.elements();
    type.bytes += bytes;
    report.elements += tensor.elements();
    report.bytes_before += static_cast<std::int64_t>(tensor.bytes.size());
    report.bytes_after += bytes;
  }
  report.choices = std::move(choices);
  return report;
}

}  // namespace

std::vector<TensorInfo> TensorInfos(const GgufFile& file) {
  std::vector<TensorInfo> tensors;
  for (const GgufTensor& tensor : file.tensors()) tensors.push_back({tensor.name, tensor.type, tensor.shape});
  return tensors;
}

double TypeReport::RelativeError() const {
  return squared_sum > 0 ? std::sqrt(squared_error / squared_sum) : 0;
}

double QuantizeReport::BitsPerWeight() const {
  return elements > 0 ? 8.0 * static_cast<double>(bytes_after) / static_cast<double>(elements) : 0;
}

QuantizeReport QuantizeFile(const std::filesystem::path& in, const std::filesystem::path& out, const Mix& mix,
                            const QuantizeOptions& options, Progress& progress) {
  const std::shared_ptr<const GgufFile> file = GgufFile::Open(in);
  QuantizeReport report = CountBytes(*file, Plan(*file, mix, options));
  for (const std::string& line : DescribeFallBacks(report.choices)) progress.Message(line);
  CheckImportanceNames(*file, report.choices, options, progress);
  if (options.dry_run) return report;

  GgufWriter writer(out, OutputMetadata(*file, mix, options.importance));
  for (std::size_t i = 0; i < report.choices.size(); ++i) {
    const GgufTensor& tensor = file->tensors()[i];
    writer.Declare(tensor.name, report.choices[i].type, tensor.shape);
  }
  progress.Start("quantize", report.elements, "weights");
  std::int64_t done = 0;
  for (std::size_t i = 0; i < report.choices.size(); ++i) {
    ThrowIfCancelled();
    const GgufTensor& tensor = file->tensors()[i];
    const TypeChoice& choice = report.choices[i];
    if (IsCopied(tensor, choice)) {
      writer.Write(tensor.name, tensor.bytes);
      file->Release(tensor.bytes);
    } else {
      EncodingError error;
      try {
        const auto write = [&](std::span<const std::byte> piece) { writer.Append(tensor.name, piece); };
        const auto release = [&](std::span<const std::byte> piece) { file->Release(piece); };
        error = ReencodeTensor(tensor, choice, options.importance, write, release);
        CheckUnfit(error.unfit, choice.type, options.too_large);
      } catch (const Error& e) {
        throw Error(e.kind(), fmt::format("{}: tensor {}: {}", in.string(), tensor.name, e.what()));
      }
      if (error.unfit.any()) {
        progress.Message(
            fmt::format("tensor {}: {}", tensor.name, DescribeClipped(error.unfit, choice.type)));
      }
      report.types[choice.type].squared_error += error.squared_error;
      report.types[choice.type].squared_sum += error.squared_sum;
    }
    done += tensor.elements();
    progress.Update(done, tensor.name);
  }
  writer.Commit();
  progress.Finish();
  return report;
}

}  // namespace longspan
