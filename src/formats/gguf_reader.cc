#include "formats/gguf_reader.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "formats/byte_reader.h"
#include "formats/gguf_shards.h"
#include "formats/wrong_file.h"

namespace longspan {
namespace {

constexpr int kMaxDepth = 8;                 // arrays within arrays
constexpr std::uint64_t kMaxName = 65535;    // bytes of a key, as the format says, and of a tensor's name
constexpr std::uint32_t kMaxDimensions = 4;  // as the format says
constexpr std::size_t kStringHead = 8;       // a string's length
constexpr std::size_t kArrayHead = 4 + 8;    // an array's element type and count
constexpr std::size_t kSmallestEntry = kStringHead + 4 + 1;
constexpr std::size_t kSmallestTensor = kStringHead + 4 + 8 + 4 + 8;

}  // namespace

void CheckGgufAlignment(std::uint64_t alignment, std::string_view where) {
  if (!std::has_single_bit(alignment) || alignment < 8 || alignment > (1 << 20)) {
    Fail(ErrorKind::kInvalidFile, "{}: general.alignment is {}, expected a power of two from 8 to 1048576",
         where, alignment);
  }
}

// Walks the file once, from the front.
class GgufParser {
 public:
  explicit GgufParser(std::shared_ptr<const MappedFile> mapped)
      : file_(new GgufFile), name_(mapped->path().string()), reader_(mapped->bytes(), name_) {
    file_->mapped_ = mapped;
    file_->file_bytes_ = mapped->bytes().size();
    file_->mappings_ = std::make_shared<GgufFile::Mappings>(1, std::move(mapped));
  }

  std::shared_ptr<GgufFile> Parse() {
    ReadVersion();
    const auto tensors = reader_.Read<std::uint64_t>("tensor count");
    const auto entries = reader_.Read<std::uint64_t>("metadata count");
    ReadMetadata(reader_.CheckCount(entries, kSmallestEntry, "metadata entries"));
    file_->alignment_ =
        file_->metadata_.Find<std::uint64_t>("general.alignment").value_or(kGgufDefaultAlignment);
    CheckGgufAlignment(file_->alignment_, name_);
    ReadTensors(reader_.CheckCount(tensors, kSmallestTensor, "tensors"));
    LocateTensors();
    return std::move(file_);
  }

 private:
  void ReadVersion() {
    const std::span<const std::byte> all = file_->mapped_->bytes();
    if (all.size() < kGgufMagic.size()) RefuseWrongFile(all, name_);
    const std::string_view magic = reader_.ReadText(kGgufMagic.size(), "the magic");
    if (magic != kGgufMagic) {
      RefuseWrongFile(all, name_);
      Fail(ErrorKind::kInvalidFile, "{}: not a GGUF file: starts with '{}', expected 'GGUF'", name_,
           Printable(magic));
    }
    file_->version_ = reader_.Read<std::uint32_t>("version");
    const std::uint32_t version = file_->version_;
    if ((version & 0xffff) == 0 && version != 0) {
      Fail(ErrorKind::kUnsupported, "{}: a big-endian GGUF file; longspan reads only little-endian ones",
           name_);
    }
    if (version != 2 && version != 3) {
      Fail(ErrorKind::kUnsupported, "{}: GGUF version {}, expected 2 or 3", name_, version);
    }
  }

  std::string_view ReadString(std::string_view what) {
    return reader_.ReadText(reader_.Read<std::uint64_t>(what), what);
  }

  std::string ReadName(std::string_view what) {
    const auto size = reader_.Read<std::uint64_t>(what);
    if (size > kMaxName) reader_.FailAt("{} of {} bytes, expected at most {}", what, size, kMaxName);
    return std::string(reader_.ReadText(size, what));
  }

  GgufType ReadType() {
    const auto id = reader_.Read<std::uint32_t>("value type");
    if (id >= kGgufTypes) reader_.FailAt("value type {}, expected less than {}", id, kGgufTypes);
    return static_cast<GgufType>(id);
  }

  bool ReadBool() {
    const auto value = reader_.Read<std::uint8_t>("bool");
    if (value > 1) reader_.FailAt("bool with value {}, expected 0 or 1", value);
    return value != 0;
  }

  void ReadMetadata(std::size_t count) {
    file_->metadata_ = GgufMetadata(name_);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string key = ReadName("metadata key");
      if (file_->metadata_.Contains(key)) reader_.FailAt("metadata key {} appears twice", Printable(key));
      file_->metadata_.Set(key, ReadValue(ReadType()));
    }
  }

  GgufValue ReadValue(GgufType type) {
    switch (type) {
      case GgufType::kUint8: return reader_.Read<std::uint8_t>("u8");
      case GgufType::kInt8: return reader_.Read<std::int8_t>("i8");
      case GgufType::kUint16: return reader_.Read<std::uint16_t>("u16");
      case GgufType::kInt16: return reader_.Read<std::int16_t>("i16");
      case GgufType::kUint32: return reader_.Read<std::uint32_t>("u32");
      case GgufType::kInt32: return reader_.Read<std::int32_t>("i32");
      case GgufType::kFloat32: return reader_.Read<float>("f32");
      case GgufType::kBool: return ReadBool();
      case GgufType::kString: return std::string(ReadString("string"));
      case GgufType::kArray: return ReadArray(1);
      case GgufType::kUint64: return reader_.Read<std::uint64_t>("u64");
      case GgufType::kInt64: return reader_.Read<std::int64_t>("i64");
      case GgufType::kFloat64: return reader_.Read<double>("f64");
    }
    reader_.FailAt("value type {}", static_cast<std::uint32_t>(type));
  }

  template <class T>
  GgufArray ReadNumbers(std::uint64_t count) {
    std::vector<T> elements(reader_.CheckCount(count, sizeof(T), "array elements"));
    const std::span<const std::byte> bytes = reader_.Take(elements.size() * sizeof(T), "array");
    if (!bytes.empty()) std::memcpy(elements.data(), bytes.data(), bytes.size());
    return {std::move(elements)};
  }

  GgufArray ReadBools(std::uint64_t count) {
    std::vector<bool> elements(reader_.CheckCount(count, 1, "array elements"));
    for (std::size_t i = 0; i < elements.size(); ++i) elements[i] = ReadBool();
    return {std::move(elements)};
  }

  GgufArray ReadStrings(std::uint64_t count) {
    std::vector<std::string_view> views;
    views.reserve(reader_.CheckCount(count, kStringHead, "strings"));
    for (std::uint64_t i = 0; i < count; ++i) views.push_back(ReadString("string"));
    return {GgufStrings(std::move(views), file_->mapped_)};
  }

  GgufArray ReadArrays(std::uint64_t count, int depth) {
    std::vector<GgufArray> elements;
    elements.reserve(reader_.CheckCount(count, kArrayHead, "arrays"));
    for (std::uint64_t i = 0; i < count; ++i) elements.push_back(ReadArray(depth + 1));
    return {std::move(elements)};
  }

  GgufArray ReadArray(int depth) {
    if (depth > kMaxDepth) reader_.FailAt("arrays nested deeper than {}", kMaxDepth);
    const GgufType type = ReadType();
    const auto count = reader_.Read<std::uint64_t>("array length");
    switch (type) {
      case GgufType::kUint8: return ReadNumbers<std::uint8_t>(count);
      case GgufType::kInt8: return ReadNumbers<std::int8_t>(count);
      case GgufType::kUint16: return ReadNumbers<std::uint16_t>(count);
      case GgufType::kInt16: return ReadNumbers<std::int16_t>(count);
      case GgufType::kUint32: return ReadNumbers<std::uint32_t>(count);
      case GgufType::kInt32: return ReadNumbers<std::int32_t>(count);
      case GgufType::kFloat32: return ReadNumbers<float>(count);
      case GgufType::kBool: return ReadBools(count);
      case GgufType::kString: return ReadStrings(count);
      case GgufType::kArray: return ReadArrays(count, depth);
      case GgufType::kUint64: return ReadNumbers<std::uint64_t>(count);
      case GgufType::kInt64: return ReadNumbers<std::int64_t>(count);
      case GgufType::kFloat64: return ReadNumbers<double>(count);
    }
    reader_.FailAt("array element type {}", static_cast<std::uint32_t>(type));
  }

  void ReadTensors(std::size_t count) {
    file_->tensors_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      GgufTensor tensor;
      tensor.name = ReadName("tensor name");
      if (!file_->tensor_index_.try_emplace(tensor.name, i).second) {
        reader_.FailAt("tensor {} appears twice", Printable(tensor.name));
      }
      ReadShape(tensor);
      const auto id = reader_.Read<std::uint32_t>("tensor type");
      const std::optional<Type> type = TypeFromId(id);
      if (!type) reader_.FailAt("tensor {} has unknown type {}", Printable(tensor.name), id);
      tensor.type = *type;
      tensor.offset = reader_.Read<std::uint64_t>("tensor offset");
      file_->tensors_.push_back(std::move(tensor));
    }
  }

  void ReadShape(GgufTensor& tensor) {
    const auto dimensions = reader_.Read<std::uint32_t>("number of dimensions");
    if (dimensions < 1 || dimensions > kMaxDimensions) {
      reader_.FailAt("tensor {} has {} dimensions, expected 1 to {}", Printable(tensor.name), dimensions,
                     kMaxDimensions);
    }
    std::int64_t elements = 1;
    for (std::uint32_t d = 0; d < dimensions; ++d) {
      const auto n = reader_.Read<std::int64_t>("dimension");
      if (n < 1) reader_.FailAt("tensor {} has a dimension of {}", Printable(tensor.name), n);
      if (__builtin_mul_overflow(elements, n, &elements)) {
        reader_.FailAt("tensor {} has more elements than 63 bits can count", Printable(tensor.name));
      }
      tensor.shape.push_back(n);
    }
    std::ranges::reverse(tensor.shape);
  }

  // Turns offsets within the data into views, and makes sure that no two tensors share bytes.
  void LocateTensors() {
    if (file_->tensors_.empty()) return;
    const std::span<const std::byte> all = file_->mapped_->bytes();
    const std::uint64_t start =
        CheckedAlignUp<std::uint64_t>(reader_.offset(), file_->alignment_, "start of tensor data");
    for (GgufTensor& tensor : file_->tensors_) {
      const auto fail = [&](const std::string& why) {
        Fail(ErrorKind::kInvalidFile, "{}: tensor {} at byte {} of the data, which starts at byte {}: {}",
             name_, Printable(tensor.name), tensor.offset, start, why);
      };
      if (tensor.offset % file_->alignment_ != 0)
        fail(fmt::format("not aligned to {} bytes", file_->alignment_));
      const std::int64_t size = SizeOf(tensor);
      if (start > all.size() || tensor.offset > all.size() - start ||
          std::cmp_greater(size, all.size() - start - tensor.offset)) {
        fail(fmt::format("its {} bytes reach beyond the file's {}", size, all.size()));
      }
      tensor.offset += start;
      tensor.bytes = all.subspan(tensor.offset, size);
    }
    CheckOverlap();
  }

  std::int64_t SizeOf(const GgufTensor& tensor) const {
    try {
      return TensorBytes(tensor.type, tensor.shape);
    } catch (const Error& error) {
      Fail(error.kind(), "{}: tensor {}: {}", name_, Printable(tensor.name), error.what());
    }
  }

  void CheckOverlap() const {
    std::vector<const GgufTensor*> order;
    for (const GgufTensor& tensor : file_->tensors_) order.push_back(&tensor);
    std::ranges::sort(order, {}, &GgufTensor::offset);
    for (std::size_t i = 1; i < order.size(); ++i) {
      if (order[i - 1]->offset + order[i - 1]->bytes.size() > order[i]->offset) {
        Fail(ErrorKind::kInvalidFile, "{}: tensors {} and {} overlap at byte {}", name_,
             Printable(order[i - 1]->name), Printable(order[i]->name), order[i]->offset);
      }
    }
  }

  std::shared_ptr<GgufFile> file_;
  std::string name_;
  ByteReader reader_;
};

std::int64_t GgufTensor::elements() const {
  std::int64_t n = 1;
  for (const std::int64_t dimension : shape) n *= dimension;  // Open has checked that this fits
  return n;
}

std::shared_ptr<const GgufFile> GgufFile::Open(const std::filesystem::path& path) {
  const std::shared_ptr<GgufFile> file = GgufParser(MappedFile::Open(path)).Parse();
  GgufShards::Join(*file);
  return file;
}

std::shared_ptr<const GgufFile> GgufShards::Open(const std::filesystem::path& path) {
  return GgufParser(MappedFile::Open(path)).Parse();
}

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

Tensor GgufFile::LoadTensor(std::string_view name) const {
  const GgufTensor* tensor = FindTensor(name);
  if (tensor == nullptr) return {};
  return Tensor(tensor->type, tensor->shape, tensor->bytes, mappings_);
}

void GgufFile::Release(std::span<const std::byte> part) const {
  for (const auto& mapping : *mappings_) mapping->Release(part);
}

}  // namespace longspan
