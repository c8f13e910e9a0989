#include "formats/gguf_shards.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

#include "base/cancel.h"
#include "base/checked.h"
#include "base/error.h"
#include "formats/byte_reader.h"
#include "formats/gguf_writer.h"

namespace longspan {
namespace {

constexpr const char* kNumber = "split.no";
constexpr const char* kCount = "split.count";
constexpr const char* kTensors = "split.tensors.count";
constexpr std::size_t kDigits = 5;
constexpr int kMaxShards = 65535;  // split.count is 16 bits
constexpr std::size_t kPiece = 8 << 20;

std::optional<int> ParseDigits(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size() && text.front() != '-';
  return whole ? std::optional(number) : std::nullopt;
}

void CopyTensor(const GgufFile& file, const GgufTensor& tensor, GgufWriter& writer) {
  std::span<const std::byte> rest = tensor.bytes;
  while (!rest.empty()) {
    ThrowIfCancelled();
    const std::span<const std::byte> piece = rest.first(std::min(rest.size(), kPiece));
    writer.Append(tensor.name, piece);
    file.Release(piece);
    rest = rest.subspan(piece.size());
  }
}

void CopyTensors(const GgufFile& file, std::span<const GgufTensor> tensors, GgufWriter& writer,
                 std::int64_t& done, Progress& progress) {
  for (const GgufTensor& t : tensors) writer.Declare(t.name, t.type, t.shape);
  for (const GgufTensor& t : tensors) {
    CopyTensor(file, t, writer);
    done += static_cast<std::int64_t>(t.bytes.size());
    progress.Update(done, t.name);
  }
  writer.Commit();
}

std::int64_t TensorBytes(const GgufFile& file) {
  std::int64_t bytes = 0;
  for (const GgufTensor& t : file.tensors()) bytes += static_cast<std::int64_t>(t.bytes.size());
  return bytes;
}

// Tensors in file order, cut where the next one would make a shard too large.
std::vector<std::span<const GgufTensor>> Cut(std::span<const GgufTensor> tensors, std::uint64_t shard_bytes) {
  std::vector<std::span<const GgufTensor>> shards;
  std::size_t begin = 0;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (i > begin && bytes + tensors[i].bytes.size() > shard_bytes) {
      shards.push_back(tensors.subspan(begin, i - begin));
      begin = i;
      bytes = 0;
    }
    bytes += tensors[i].bytes.size();
  }
  shards.push_back(tensors.subspan(begin));
  return shards;
}

}  // namespace

std::string GgufShardName::FileName() const {
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem, number, count);
}

std::optional<GgufShardName> GgufShardName::Parse(std::string_view file_name) {
  constexpr std::string_view kSuffix = ".gguf", kOf = "-of-";
  constexpr std::size_t kTail = 1 + kDigits + kOf.size() + kDigits + kSuffix.size();
  if (file_name.size() <= kTail || !file_name.ends_with(kSuffix)) return std::nullopt;
  const std::string_view tail = file_name.substr(file_name.size() - kTail);
  if (tail.front() != '-' || tail.substr(1 + kDigits, kOf.size()) != kOf) return std::nullopt;
  const auto number = ParseDigits(tail.substr(1, kDigits));
  const auto count = ParseDigits(tail.substr(1 + kDigits + kOf.size(), kDigits));
  if (!number || !count || *number < 1 || *count > kMaxShards || *number > *count) return std::nullopt;
  return GgufShardName{std::string(file_name.substr(0, file_name.size() - kTail)), *number, *count};
}

std::vector<std::filesystem::path> GgufShardFiles(const std::filesystem::path& path) {
  const auto name = GgufShardName::Parse(path.filename().string());
  if (!name) return {path};
  std::vector<std::filesystem::path> files;
  for (int i = 1; i <= name->count; ++i)
    files.push_back(path.parent_path() / GgufShardName{name->stem, i, name->count}.FileName());
  return files;
}

void GgufShards::Join(GgufFile& first) {
  const std::string where = first.path().string();
  const std::int64_t count = first.Find<std::int64_t>(kCount).value_or(0);
  const std::int64_t number = first.Find<std::int64_t>(kNumber).value_or(0);
  if (count > 1) {
    const auto name = GgufShardName::Parse(first.path().filename().string());
    if (!name || name->count != count || name->number != number + 1) {
      Fail(ErrorKind::kInvalidFile, "{}: is shard {} of {}, so its name should end with -{:05}-of-{:05}.gguf",
           where, number + 1, count, number + 1, count);
    }
    if (number != 0) {
      const GgufShardName wanted{name->stem, 1, name->count};
      Fail(ErrorKind::kBadOption, "{}: shard {} of {}; name the first, {}", where, number + 1, count,
           wanted.FileName());
    }
    auto mappings = std::make_shared<GgufFile::Mappings>(*first.mappings_);
    for (int i = 2; i <= name->count; ++i) {
      const GgufShardName next{name->stem, i, name->count};
      const auto shard = Open(first.path().parent_path() / next.FileName());
      if (shard->Find<std::int64_t>(kNumber) != i - 1 || shard->Find<std::int64_t>(kCount) != count) {
        Fail(ErrorKind::kInvalidFile, "{}: its split.no and split.count do not say that it is shard {} of {}",
             shard->path().string(), i, count);
      }
      for (const GgufTensor& tensor : shard->tensors()) {
        if (!first.tensor_index_.try_emplace(tensor.name, first.tensors_.size()).second) {
          Fail(ErrorKind::kInvalidFile, "{}: tensor {} is in an earlier shard too", shard->path().string(),
               Printable(tensor.name));
        }
        first.tensors_.push_back(tensor);
      }
      first.file_bytes_ += shard->file_bytes();
      mappings->push_back(shard->mapped_);
    }
    first.mappings_ = std::move(mappings);
    if (const auto all = first.Find<std::int64_t>(kTensors);
        all && std::cmp_not_equal(*all, first.tensors_.size())) {
      Fail(ErrorKind::kInvalidFile, "{}: {} shards with {} tensors, split.tensors.count says {}", where,
           count, first.tensors_.size(), *all);
    }
  }
  for (const char* key : {kNumber, kCount, kTensors}) first.metadata_.Erase(key);
}

std::vector<std::string> WriteGgufShards(const GgufFile& file, const std::filesystem::path& folder,
                                         const std::string& stem, std::uint64_t shard_bytes,
                                         Progress& progress) {
  const auto shards = Cut(file.tensors(), shard_bytes);
  if (shards.size() > kMaxShards) {
    Fail(ErrorKind::kBadOption, "{}: {} shards of {} bytes, expected at most {}", file.path().string(),
         shards.size(), shard_bytes, kMaxShards);
  }
  GgufMetadata metadata = file.metadata();
  std::vector<std::string> names;
  std::int64_t done = 0;
  progress.Start("split", TensorBytes(file), "bytes");
  for (std::size_t i = 0; i < shards.size(); ++i) {
    metadata.Set(kNumber, static_cast<std::uint16_t>(i));
    metadata.Set(kCount, static_cast<std::uint16_t>(shards.size()));
    metadata.Set(kTensors, CheckedCast<std::int32_t>(file.tensors().size(), "number of tensors"));
    const GgufShardName name{stem, static_cast<int>(i) + 1, static_cast<int>(shards.size())};
    GgufWriter writer(folder / name.FileName(), metadata);
    CopyTensors(file, shards[i], writer, done, progress);
    names.push_back(name.FileName());
    metadata = GgufMetadata();  // later shards only say which shard they are
  }
  progress.Finish();
  return names;
}

void WriteGgufFile(const GgufFile& file, const std::filesystem::path& path, Progress& progress) {
  GgufWriter writer(path, file.metadata());
  std::int64_t done = 0;
  progress.Start("join", TensorBytes(file), "bytes");
  CopyTensors(file, file.tensors(), writer, done, progress);
  progress.Finish();
}

}  // namespace longspan
