#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/cancel.h"
#include "base/checked.h"
#include "base/error.h"
#include "formats/byte_reader.h"
#include "formats/json_reader.h"
#include "formats/wrong_file.h"

namespace longspan {
namespace {

using nlohmann::json;

// A header takes about 100 bytes a tensor, so this is far above any model.
constexpr std::uint64_t kMaxHeader = 16 << 20;
constexpr std::size_t kLengthBytes = sizeof(std::uint64_t);
constexpr std::size_t kMaxDimensions = 8;
constexpr std::string_view kMetadata = "__metadata__";
constexpr std::size_t kChunk = 1 << 20;  // AtomicFile copies what it gets, so tensors go in pieces

constexpr std::array<std::pair<std::string_view, Type>, 8> kTypes{{{"F32", Type::kF32},
                                                                   {"F16", Type::kF16},
                                                                   {"BF16", Type::kBF16},
                                                                   {"F64", Type::kF64},
                                                                   {"I8", Type::kI8},
                                                                   {"I16", Type::kI16},
                                                                   {"I32", Type::kI32},
                                                                   {"I64", Type::kI64}}};

// Reports a fault of the header. The caller puts the file's name in front.
[[noreturn]] void Bad(std::string_view tensor, std::string_view why) {
  Fail(ErrorKind::kInvalidFile, "tensor {}: {}", Printable(tensor), why);
}

Type ReadType(const std::string& name, const json& entry) {
  const auto it = entry.find("dtype");
  if (it == entry.end() || !it->is_string()) Bad(name, "no dtype");
  const auto& text = it->get_ref<const std::string&>();
  for (const auto& [type_name, type] : kTypes) {
    if (type_name == text) return type;
  }
  Fail(ErrorKind::kUnsupported, "tensor {} has dtype {}, which longspan does not read", Printable(name),
       Printable(text));
}

std::vector<std::int64_t> ReadShape(const std::string& name, const json& entry) {
  const auto it = entry.find("shape");
  if (it == entry.end() || !it->is_array() || it->size() > kMaxDimensions)
    Bad(name, "expected a shape of up to 8 numbers");
  std::vector<std::int64_t> shape;
  std::int64_t elements = 1;
  for (const json& n : *it) {
    if (!n.is_number_unsigned()) Bad(name, "a dimension is not a whole number");
    shape.push_back(CheckedCast<std::int64_t>(n.get<std::uint64_t>(), "dimension"));
    elements = CheckedMul(elements, shape.back(), "elements");
  }
  if (shape.empty()) shape.push_back(1);
  return shape;
}

std::span<const std::byte> ReadPlace(const std::string& name, const json& entry,
                                     std::span<const std::byte> data) {
  const auto it = entry.find("data_offsets");
  if (it == entry.end() || !it->is_array() || it->size() != 2 || !(*it)[0].is_number_unsigned() ||
      !(*it)[1].is_number_unsigned()) {
    Bad(name, "expected data_offsets of two whole numbers");
  }
  const auto begin = (*it)[0].get<std::uint64_t>();
  const auto end = (*it)[1].get<std::uint64_t>();
  if (begin > end || end > data.size()) {
    Bad(name, fmt::format("bytes {} to {} of {} bytes of data", begin, end, data.size()));
  }
  return data.subspan(begin, end - begin);
}

// A tensor's description in the header; `data` is all that follows it.
SafetensorsEntry ReadEntry(const std::string& name, const json& described, std::span<const std::byte> data) {
  SafetensorsEntry entry{name, ReadType(name, described), ReadShape(name, described),
                         ReadPlace(name, described, data)};
  if (const std::int64_t bytes = TensorBytes(entry.type, entry.shape);
      !std::cmp_equal(bytes, entry.bytes.size())) {
    Bad(name, fmt::format("{} bytes, its dtype and shape say {}", entry.bytes.size(), bytes));
  }
  return entry;
}

// Collects the tensors while the header is parsed. It can list many, and as JSON values they would need about
// 20 times its size. Only the metadata become JSON.
class TensorCollector {
 public:
  TensorCollector(std::span<const std::byte> data, std::vector<SafetensorsEntry>& entries)
      : data_(data), entries_(entries) {}

  bool operator()(int depth, JsonEvent event, json& value) {
    if (depth != 1) return true;
    if (event == JsonEvent::key) {
      name_ = value.get<std::string>();
      return true;
    }
    const bool described = event == JsonEvent::object_start || event == JsonEvent::object_end;
    if (!described) Bad(name_, "expected a JSON object that describes it");
    if (event == JsonEvent::object_start || name_ == kMetadata) return true;
    entries_.push_back(ReadEntry(name_, value, data_));
    return false;
  }

 private:
  std::span<const std::byte> data_;
  std::vector<SafetensorsEntry>& entries_;
  std::string name_;
};

std::size_t BytesOf(const SafetensorsEntry& entry) {
  return static_cast<std::size_t>(TensorBytes(entry.type, entry.shape));
}

std::size_t ElementBytes(Type type) { return static_cast<std::size_t>(Traits(type).block_bytes); }

}  // namespace

std::shared_ptr<const SafetensorsFile> SafetensorsFile::Open(const std::filesystem::path& path) {
  std::shared_ptr<SafetensorsFile> file(new SafetensorsFile);
  file->mapped_ = MappedFile::Open(path);
  const std::span<const std::byte> bytes = file->mapped_->bytes();
  // The header is a JSON object, after its length.
  if (bytes.size() <= kLengthBytes || bytes[kLengthBytes] != std::byte{'{'})
    RefuseWrongFile(bytes, path.string());
  try {
    file->ReadHeader();
  } catch (const Error& error) {
    Fail(error.kind(), "{}: {}", path.string(), error.what());
  }
  return file;
}

void SafetensorsFile::ReadHeader() {
  ByteReader reader(mapped_->bytes(), "safetensors header");
  const auto size = reader.Read<std::uint64_t>("header length");
  if (size > kMaxHeader) reader.FailAt("a header of {} bytes, expected at most {}", size, kMaxHeader);
  const std::string_view text = reader.ReadText(size, "header");
  const auto data = reader.Take(reader.remaining(), "data");
  const json rest = ParseJson(text, "header", {.bytes = kMaxHeader}, TensorCollector(data, entries_));
  if (!rest.is_object()) Fail(ErrorKind::kInvalidFile, "the header is not a JSON object");
  if (const auto metadata = rest.find(kMetadata); metadata != rest.end()) {
    for (const auto& [key, value] : metadata->items()) {
      if (value.is_string()) metadata_[key] = value.get<std::string>();
    }
  }
  std::ranges::stable_sort(entries_, {}, [](const SafetensorsEntry& e) { return e.bytes.data(); });
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (!index_.emplace(entries_[i].name, i).second) Bad(entries_[i].name, "appears twice");
  }
  CheckPlaces(data);
}

// Every byte of the data belongs to exactly one tensor, as the format demands.
void SafetensorsFile::CheckPlaces(std::span<const std::byte> data) const {
  const std::byte* end = data.data();
  for (const SafetensorsEntry& entry : entries_) {
    if (entry.bytes.empty()) continue;
    if (entry.bytes.data() != end) {
      Bad(entry.name, entry.bytes.data() < end ? "overlaps another" : "bytes before it belong to no tensor");
    }
    end = entry.bytes.data() + entry.bytes.size();
  }
  if (end != data.data() + data.size()) {
    Fail(ErrorKind::kInvalidFile, "{} bytes after the last tensor", data.data() + data.size() - end);
  }
}

void SafetensorsFile::RefuseEmptyTensors() const {
  const auto empty = std::ranges::count_if(entries_, [](const auto& e) { return e.bytes.empty(); });
  if (empty == 0) return;
  Fail(ErrorKind::kInvalidFile,
       "{}: {} of its {} tensors are empty, as DeepSpeed ZeRO-3 leaves them where the weights were not "
       "gathered before saving; gather them with its zero_to_fp32.py and save again",
       path().string(), empty, entries_.size());
}

Tensor SafetensorsFile::LoadTensor(std::string_view name) const {
  const auto it = index_.find(name);
  if (it == index_.end()) return {};
  const SafetensorsEntry& entry = entries_[it->second];
  if (entry.bytes.empty()) return Tensor::Allocate(entry.type, entry.shape);
  const bool aligned = reinterpret_cast<std::uintptr_t>(entry.bytes.data()) % ElementBytes(entry.type) == 0;
  if (aligned) return Tensor(entry.type, entry.shape, entry.bytes, mapped_);
  Tensor copy = Tensor::Allocate(entry.type, entry.shape);
  std::memcpy(copy.mutable_bytes().data(), entry.bytes.data(), entry.bytes.size());
  return copy;
}

void SafetensorsWriter::Declare(std::string_view name, Type type, std::vector<std::int64_t> shape) {
  if (header_written_) Fail(ErrorKind::kInternal, "{}: tensor {} declared after data", name_, name);
  if (type != Type::kF32 && type != Type::kF16 && type != Type::kBF16) {
    Fail(ErrorKind::kUnsupported, "{}: tensor {} of type {}: safetensors are written as F32, F16 or BF16",
         name_, name, Traits(type).name);
  }
  TensorBytes(type, shape);  // throws where the size overflows
  entries_.push_back({std::string(name), type, std::move(shape), {}});
}

void SafetensorsWriter::WriteHeader() {
  header_written_ = true;
  json header = {{"__metadata__", {{"format", "pt"}}}};
  std::int64_t offset = 0;
  for (const SafetensorsEntry& entry : entries_) {
    const std::int64_t end = CheckedAdd(offset, TensorBytes(entry.type, entry.shape), "file size");
    const bool fresh = header
                           .emplace(entry.name, json{{"dtype", Traits(entry.type).name},
                                                     {"shape", entry.shape},
                                                     {"data_offsets", {offset, end}}})
                           .second;
    if (!fresh) Fail(ErrorKind::kInternal, "{}: tensor {} declared twice", name_, entry.name);
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data are aligned
  const std::uint64_t size = text.size();
  file_.Write(std::as_bytes(std::span(&size, 1)));
  file_.Write(text);
}

void SafetensorsWriter::Write(std::string_view name, std::span<const std::byte> bytes) {
  if (next_ < entries_.size() && BytesOf(entries_[next_]) != bytes.size()) {
    Fail(ErrorKind::kInternal, "{}: {} bytes of tensor {} written out of turn", name_, bytes.size(), name);
  }
  Append(name, bytes);
}

void SafetensorsWriter::Append(std::string_view name, std::span<const std::byte> piece) {
  if (!header_written_) WriteHeader();
  if (next_ == entries_.size() || entries_[next_].name != name ||
      piece.size() > BytesOf(entries_[next_]) - appended_) {
    Fail(ErrorKind::kInternal, "{}: {} bytes of tensor {} written out of turn", name_, piece.size(), name);
  }
  appended_ += piece.size();
  while (!piece.empty()) {
    ThrowIfCancelled();
    const std::size_t n = std::min(piece.size(), kChunk);
    file_.Write(piece.first(n));
    piece = piece.subspan(n);
  }
  if (appended_ < BytesOf(entries_[next_])) return;
  appended_ = 0;
  ++next_;
}

void SafetensorsWriter::Commit() {
  if (!header_written_) WriteHeader();
  if (next_ != entries_.size()) {
    Fail(ErrorKind::kInternal, "{}: tensor {} was declared but not written", name_, entries_[next_].name);
  }
  file_.Commit();
}

}  // namespace longspan
