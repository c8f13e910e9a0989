#include "eval/logits_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

#include "base/checked.h"
#include "base/error.h"
#include "base/parallel.h"
#include "eval/likelihood.h"
#include "formats/byte_reader.h"

namespace longspan {
namespace {

constexpr std::string_view kMagic = "_logits_";
constexpr float kRange = 16;  // nats below the largest logit that are told apart
constexpr float kSteps = 65535;
// No sum of roundings makes a log-probability larger than this.
constexpr float kAboveCertain = 0.01f;

void EncodeRow(std::span<const float> logits, std::uint16_t* to) {
  const auto [low, high] = std::ranges::minmax(logits);
  const double total = LogSumExp(logits);
  if (!std::isfinite(total)) Fail(ErrorKind::kInvalidFile, "the model's logits are not numbers");
  const float least = std::max(low, high - kRange);
  const float header[2] = {(high - least) / kSteps, static_cast<float>(least - total)};
  std::memcpy(to, header, sizeof(header));
  to += 4;
  const float inverse = header[0] > 0 ? 1 / header[0] : 0.0f;
  for (const float logit : logits) {
    const float step = std::max(0.0f, (logit - least) * inverse);
    *to++ = static_cast<std::uint16_t>(std::min(kSteps, std::nearbyint(step)));
  }
  if (logits.size() % 2 != 0) *to = 0;
}

}  // namespace

std::uint64_t LogitsShape::ChunkBytes() const {
  return sizeof(std::int32_t) * static_cast<std::uint64_t>(context) +
         sizeof(std::uint16_t) * static_cast<std::uint64_t>(rows_of_chunk()) *
             static_cast<std::uint64_t>(row_values());
}

LogitsFile::LogitsFile(const std::filesystem::path& path) : file_(MappedFile::Open(path)) {
  ByteReader reader(file_->bytes(), path.string());
  if (file_->bytes().size() < kMagic.size() || reader.ReadText(kMagic.size(), "magic") != kMagic) {
    Fail(ErrorKind::kInvalidFile, "{}: not a file of logits, because it does not begin with {}",
         path.string(), kMagic);
  }
  const auto measure = [&](const char* what, std::int64_t least) -> std::int64_t {
    const auto value = reader.Read<std::int32_t>(what);
    if (value < least) reader.FailAt("{} is {}, expected {} or more", what, value, least);
    return value;
  };
  shape_.context = measure("context", 4);
  shape_.vocab_size = measure("vocabulary size", 1);
  shape_.chunks = measure("number of chunks", 1);
  const std::uint64_t chunk = shape_.ChunkBytes();
  if (reader.remaining() % chunk != 0 ||
      reader.remaining() / chunk != static_cast<std::uint64_t>(shape_.chunks)) {
    reader.FailAt("{} bytes remain, expected {} chunks of {} bytes (context {}, vocabulary {})",
                  reader.remaining(), shape_.chunks, chunk, shape_.context, shape_.vocab_size);
  }
  tokens_.resize(shape_.chunks * shape_.context);
  const auto bytes = reader.Take(tokens_.size() * sizeof(std::int32_t), "tokens");
  std::memcpy(tokens_.data(), bytes.data(), bytes.size());
  for (const std::int32_t token : tokens_) {
    if (token < 0 || token >= shape_.vocab_size) {
      Fail(ErrorKind::kInvalidFile, "{}: token {} is outside the vocabulary of {}", path.string(), token,
           shape_.vocab_size);
    }
  }
  rows_ = reader.Take(reader.remaining(), "rows");
}

std::span<const std::int32_t> LogitsFile::Chunk(std::int64_t chunk) const {
  return std::span(tokens_).subspan(chunk * shape_.context, shape_.context);
}

LogProbabilities LogitsFile::Row(std::int64_t row) const {
  const std::int64_t bytes = shape_.row_values() * static_cast<std::int64_t>(sizeof(std::uint16_t));
  const std::byte* at = rows_.data() + row * bytes;
  float header[2];
  std::memcpy(header, at, sizeof(header));
  // The header and all rows are multiples of four bytes, so the values are aligned.
  const auto* values = reinterpret_cast<const std::uint16_t*>(at + sizeof(header));
  const auto [scale, minimum] = header;
  if (!(scale >= 0 && minimum > -1e6f && minimum + scale * kSteps < kAboveCertain)) {
    Fail(ErrorKind::kInvalidFile, "{}: row {} has log-probabilities from {} in steps of {}", path().string(),
         row, minimum, scale);
  }
  return {scale, minimum, {values, static_cast<std::size_t>(shape_.vocab_size)}};
}

LogitsWriter::LogitsWriter(const std::filesystem::path& path, const LogitsShape& shape,
                           std::span<const std::int32_t> tokens)
    : shape_(shape), file_(path), rows_left_(shape.rows()) {
  if (std::ssize(tokens) != shape.chunks * shape.context)
    Fail(ErrorKind::kInternal, "{} tokens for {} chunks of {}", tokens.size(), shape.chunks, shape.context);
  CheckFreeSpace(path,
                 CheckedMul(shape.ChunkBytes(), static_cast<std::uint64_t>(shape.chunks), "bytes of logits"));
  file_.Write(kMagic);
  for (const std::int64_t measure : {shape.context, shape.vocab_size, shape.chunks}) {
    const auto value = CheckedCast<std::int32_t>(measure, "a measure of a file of logits");
    file_.Write(std::as_bytes(std::span(&value, 1)));
  }
  file_.Write(std::as_bytes(tokens));
}

void LogitsWriter::Write(ConstRows logits) {
  const std::int64_t values = shape_.row_values();
  encoded_.resize(logits.rows * values);
  ParallelFor(logits.rows, [&](std::int64_t i) { EncodeRow(logits[i], encoded_.data() + i * values); });
  file_.Write(std::as_bytes(std::span(encoded_)));
  rows_left_ -= logits.rows;
}

void LogitsWriter::Commit() {
  if (rows_left_ != 0) Fail(ErrorKind::kInternal, "{} rows too few in a file of logits", rows_left_);
  file_.Commit();
}

}  // namespace longspan
