#include "quantize/quantize.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <system_error>

#include "base/cancel.h"
#include "base/error.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "quantize/encode.h"
#include "tensor/codec.h"
#include "tensor/tensor.h"

namespace longspan {
namespace {

constexpr std::uint32_t kQuantizationVersion = 2;  // of ggml's blocks, as they are since 2023

bool IsQuantized(Type type) { return Traits(type).block_elements > 1; }

bool IsCopied(const GgufTensor& tensor, const TypeChoice& choice) {
  // Floats go through the encoder even where their type stays, for that looks at every value.
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

std::vector<TypeChoice> Plan(const GgufFile& file, const Mix& mix, const QuantizeOptions& options) {
  std::vector<TensorInfo> tensors;
  for (const GgufTensor& tensor : file.tensors()) tensors.push_back({tensor.name, tensor.type, tensor.shape});
  std::vector<TypeChoice> choices = ChooseTypes(mix, tensors, options.overrides);
  for (std::size_t i = 0; i < choices.size(); ++i) {
    CheckPossible(file, file.tensors()[i], choices[i], options.allow_requantize);
  }
  return choices;
}

GgufMetadata OutputMetadata(const GgufFile& file, const Mix& mix) {
  GgufMetadata metadata = file.metadata();
  metadata.Set("general.file_type", mix.file_type);
  metadata.Set("general.quantization_version", kQuantizationVersion);
  return metadata;
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

double TypeReport::RelativeError() const {
  return squared_sum > 0 ? std::sqrt(squared_error / squared_sum) : 0;
}

double QuantizeReport::BitsPerWeight() const {
  return elements > 0 ? 8.0 * static_cast<double>(bytes_after) / static_cast<double>(elements) : 0;
}

QuantizeReport QuantizeFile(const std::filesystem::path& in, const std::filesystem::path& out, const Mix& mix,
                            const QuantizeOptions& options, Progress& progress) {
  std::error_code ignored;
  if (!options.dry_run && std::filesystem::equivalent(in, out, ignored)) {
    Fail(ErrorKind::kBadOption, "{}: input and output are the same file", in.string());
  }
  const std::shared_ptr<const GgufFile> file = GgufFile::Open(in);
  QuantizeReport report = CountBytes(*file, Plan(*file, mix, options));
  for (const std::string& line : DescribeFallBacks(report.choices)) progress.Message(line);
  if (options.dry_run) return report;

  GgufWriter writer(out, OutputMetadata(*file, mix));
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
    } else {
      EncodingError error;
      try {
        const std::int64_t rows = choice.cols > 0 ? tensor.elements() / choice.cols : 0;
        const auto write = [&](std::span<const std::byte> piece) { writer.Append(tensor.name, piece); };
        error = ReencodeTo(write, tensor.type, tensor.bytes, choice.type, rows, choice.cols);
      } catch (const Error& e) {
        throw Error(e.kind(), fmt::format("{}: tensor {}: {}", in.string(), tensor.name, e.what()));
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
