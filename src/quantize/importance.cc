#include "quantize/importance.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"
#include "formats/byte_reader.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"

namespace longspan {
namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";
constexpr std::string_view kDatasets = "imatrix.datasets", kChunks = "imatrix.chunk_count",
                           kChunkTokens = "imatrix.chunk_size", kFingerprint = "longspan.imatrix.fingerprint";
constexpr float kLargestCount = 0x1p53f;
// The least importance of a column, as a share of the mean. A column that was never driven gets it.
constexpr double kLeast = 1e-6;
// A total this small counts as zero.
constexpr double kNothing = 1e-30;

using Entry = ImportanceMatrix::Entry;

// Error(kInvalidFile) unless all may be sums of squares, or counts.
void CheckNumbers(std::span<const float> numbers, float largest, const std::string& file,
                  std::string_view weight) {
  for (const float x : numbers) {
    if (x >= 0 && x <= largest) continue;  // false for a NaN
    Fail(ErrorKind::kInvalidFile, "{}: {} has {}, expected a finite number that is not negative", file,
         Printable(weight), x);
  }
}

std::vector<float> Floats(const GgufFile& file, const GgufTensor& tensor) {
  const std::string path = file.path().string();
  if (tensor.type != Type::kF32 || tensor.elements() == 0) {
    Fail(ErrorKind::kInvalidFile, "{}: {} is {} of {} elements, expected F32", path, Printable(tensor.name),
         Traits(tensor.type).name, tensor.elements());
  }
  std::vector<float> floats(static_cast<std::size_t>(tensor.elements()));
  std::memcpy(floats.data(), tensor.bytes.data(), tensor.bytes.size());
  return floats;
}

std::span<const std::byte> Bytes(std::span<const float> floats) { return std::as_bytes(floats); }

bool StartsAsGguf(const std::filesystem::path& path) {
  const auto file = MappedFile::Open(path);
  const auto bytes = file->bytes();
  return bytes.size() >= kGgufMagic.size() &&
         std::memcmp(bytes.data(), kGgufMagic.data(), kGgufMagic.size()) == 0;
}

}  // namespace

ImportanceMatrix ImportanceMatrix::Load(const std::filesystem::path& path) {
  ImportanceMatrix matrix = StartsAsGguf(path) ? LoadGguf(path) : LoadDat(path);
  matrix.source_ = path.string();
  if (matrix.entries_.empty())
    Fail(ErrorKind::kInvalidFile, "{}: an importance matrix without entries", path.string());
  return matrix;
}

ImportanceMatrix ImportanceMatrix::LoadGguf(const std::filesystem::path& path) {
  const auto file = GgufFile::Open(path);
  const std::string name = path.string();
  if (const auto type = file->Find<std::string>("general.type"); type != "imatrix") {
    Fail(ErrorKind::kInvalidFile, "{}: general.type is '{}', expected 'imatrix'", name,
         Printable(type.value_or("")));
  }
  ImportanceMatrix matrix;
  matrix.datasets = file->Find<std::vector<std::string>>(kDatasets).value_or(std::vector<std::string>());
  matrix.chunks = file->Find<std::uint32_t>(kChunks).value_or(0);
  matrix.chunk_tokens = file->Find<std::uint32_t>(kChunkTokens).value_or(0);
  matrix.fingerprint = file->Find<std::uint64_t>(kFingerprint).value_or(0);
  for (const GgufTensor& tensor : file->tensors()) {
    // Each count belongs to the sums of its name. Newer files have sums of x as well (.in_sum).
    if (tensor.name.ends_with(kCounts)) {
      const auto weight = tensor.name.substr(0, tensor.name.size() - kCounts.size());
      if (file->FindTensor(weight + std::string(kSums)) == nullptr)
        Fail(ErrorKind::kInvalidFile, "{}: {} has counts but no sums", name, Printable(weight));
    }
    if (!tensor.name.ends_with(kSums)) continue;
    const auto weight = tensor.name.substr(0, tensor.name.size() - kSums.size());
    const GgufTensor* counted = file->FindTensor(weight + std::string(kCounts));
    if (counted == nullptr)
      Fail(ErrorKind::kInvalidFile, "{}: {} has sums but no counts", name, Printable(weight));
    Entry entry;
    entry.sums = Floats(*file, tensor);
    const std::vector<float> counts = Floats(*file, *counted);
    if (entry.sums.size() % counts.size() != 0) {
      Fail(ErrorKind::kInvalidFile, "{}: {} has {} sums for {} counts", name, Printable(weight),
           entry.sums.size(), counts.size());
    }
    CheckNumbers(entry.sums, std::numeric_limits<float>::max(), name, weight);
    CheckNumbers(counts, kLargestCount, name, weight);
    entry.cols = static_cast<std::int64_t>(entry.sums.size() / counts.size());
    for (const float count : counts) entry.counts.push_back(std::llround(count));
    matrix.entries_.emplace(weight, std::move(entry));
  }
  return matrix;
}

// The older form, little-endian: the number of entries; each with the length of its name, the name, how many
// calls it was collected in, the number of values, and the values, which are mean squares times calls; then,
// in most files, the calls in all, and the length and the name of the text. Numbers are int32, values float.
ImportanceMatrix ImportanceMatrix::LoadDat(const std::filesystem::path& path) {
  const auto file = MappedFile::Open(path);
  ByteReader reader(file->bytes(), path.string());
  const auto count = [&reader](std::string_view what) {
    const auto n = reader.Read<std::int32_t>(what);
    if (n < 1) reader.FailAt("{} is {}, expected 1 or more; is this an importance matrix?", what, n);
    return static_cast<std::uint64_t>(n);
  };
  ImportanceMatrix matrix;
  constexpr std::size_t kSmallestEntry = 4 + 1 + 4 + 4 + 4;
  const std::size_t entries = reader.CheckCount(count("number of entries"), kSmallestEntry, "entries");
  for (std::size_t i = 0; i < entries; ++i) {
    const std::string weight(reader.ReadText(count("length of a name"), "name"));
    Entry entry;
    entry.counts = {std::max(1, reader.Read<std::int32_t>("number of calls"))};
    const std::size_t values = reader.CheckCount(count("number of values"), sizeof(float), "values");
    const auto bytes = reader.Take(values * sizeof(float), "values");
    entry.cols = static_cast<std::int64_t>(values);
    entry.sums.resize(values);
    std::memcpy(entry.sums.data(), bytes.data(), bytes.size());
    CheckNumbers(entry.sums, std::numeric_limits<float>::max(), path.string(), weight);
    if (!matrix.entries_.emplace(weight, std::move(entry)).second)
      reader.FailAt("a second entry for {}", Printable(weight));
  }
  if (reader.remaining() > 0) matrix.chunks = std::max(0, reader.Read<std::int32_t>("number of calls"));
  if (reader.remaining() > 0) {
    const auto length = reader.Read<std::int32_t>("length of the text's name");
    if (length < 0) reader.FailAt("length of the text's name is {}", length);
    if (length > 0) {
      matrix.datasets.emplace_back(reader.ReadText(static_cast<std::uint64_t>(length), "name of the text"));
    }
  }
  return matrix;
}

void ImportanceMatrix::Save(const std::filesystem::path& path) const {
  const auto u32 = [](std::int64_t value) { return CheckedCast<std::uint32_t>(value, "number of chunks"); };
  GgufMetadata metadata;
  metadata.Set("general.type", "imatrix");
  metadata.Set(kDatasets, datasets);
  metadata.Set(kChunks, u32(chunks));
  metadata.Set(kChunkTokens, u32(chunk_tokens));
  if (fingerprint != 0) metadata.Set(kFingerprint, fingerprint);
  GgufWriter writer(path, std::move(metadata));
  for (const auto& [weight, entry] : entries_) {
    const std::int64_t matrices = std::ssize(entry.counts);
    writer.Declare(weight + std::string(kSums), Type::kF32, {matrices, entry.cols});
    writer.Declare(weight + std::string(kCounts), Type::kF32, {matrices, 1});
  }
  for (const auto& [weight, entry] : entries_) {
    const std::vector<float> counts(entry.counts.begin(), entry.counts.end());
    writer.Write(weight + std::string(kSums), Bytes(entry.sums));
    writer.Write(weight + std::string(kCounts), Bytes(counts));
  }
  writer.Commit();
}

void ImportanceMatrix::Add(std::string_view weight, std::span<const double> sums, std::int64_t tokens) {
  Entry& entry = entries_[std::string(weight)];
  if (entry.counts.empty()) {
    entry.cols = std::ssize(sums);
    entry.sums.assign(sums.size(), 0.0f);
    entry.counts = {0};
  }
  if (entry.cols != std::ssize(sums) || entry.counts.size() != 1) {
    Fail(ErrorKind::kBadOption, "{}: {} has {} columns, but the model's has {}", source_, Printable(weight),
         entry.cols, sums.size());
  }
  // Rounded to float after each chunk, as a saved file is, so that a resumed run ends with the same bits.
  for (std::size_t i = 0; i < sums.size(); ++i) entry.sums[i] += static_cast<float>(sums[i]);
  entry.counts.front() += tokens;
}

const ImportanceMatrix::Entry* ImportanceMatrix::Find(std::string_view weight) const {
  const auto it = entries_.find(weight);
  return it == entries_.end() ? nullptr : &it->second;
}

std::vector<float> ImportanceMatrix::MeanSquares(std::string_view weight, std::int64_t matrices,
                                                 std::int64_t cols) const {
  const Entry* entry = Find(weight);
  if (entry == nullptr) return {};
  // The older form has one count for all experts.
  const std::int64_t counts = std::ssize(entry->counts), sums = std::ssize(entry->sums);
  if (sums != matrices * cols || matrices % counts != 0) {
    Fail(ErrorKind::kBadOption, "{}: {} has {} x {} columns, but the model's has {} x {}", source_,
         Printable(weight), counts, entry->cols, matrices, cols);
  }
  std::vector<float> squares(entry->sums);
  for (std::int64_t m = 0; m < matrices; ++m) {
    const auto of_matrix = std::span(squares).subspan(m * cols, cols);
    const std::int64_t tokens = entry->counts[m * counts / matrices];
    const double total = std::accumulate(of_matrix.begin(), of_matrix.end(), 0.0);
    if (tokens == 0 || total < kNothing) {
      std::ranges::fill(of_matrix, 1.0f);
      continue;
    }
    const auto least = static_cast<float>(kLeast * total / static_cast<double>(cols));
    for (float& x : of_matrix) x = std::max(x, least) / static_cast<float>(tokens);
  }
  return squares;
}

}  // namespace longspan
