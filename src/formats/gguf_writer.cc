#include "formats/gguf_writer.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "formats/gguf_reader.h"

namespace longspan {
namespace {

constexpr std::uint32_t kVersion = 3;
constexpr std::size_t kChunk = 1 << 20;  // AtomicFile copies what it gets, so tensors go in pieces

template <class T>
void Put(AtomicFile& file, T value) {
  file.Write(std::as_bytes(std::span(&value, 1)));
}

void PutString(AtomicFile& file, std::string_view text) {
  Put(file, static_cast<std::uint64_t>(text.size()));
  file.Write(text);
}

void PutArray(AtomicFile& file, const GgufArray& array) {
  Put(file, static_cast<std::uint32_t>(array.element_type()));
  Put(file, static_cast<std::uint64_t>(array.size()));
  std::visit(
      [&file](const auto& elements) {
        using E = std::decay_t<decltype(elements)>;
        if constexpr (std::same_as<E, GgufStrings>) {
          for (const std::string_view s : elements.views()) PutString(file, s);
        } else if constexpr (std::same_as<E, std::vector<GgufArray>>) {
          for (const GgufArray& a : elements) PutArray(file, a);
        } else if constexpr (std::same_as<E, std::vector<bool>>) {
          for (const bool b : elements) Put(file, static_cast<std::uint8_t>(b));
        } else {
          file.Write(std::as_bytes(std::span(elements)));
        }
      },
      array.elements);
}

void PutValue(AtomicFile& file, const GgufValue& value) {
  Put(file, static_cast<std::uint32_t>(value.type()));
  std::visit(
      [&file](const auto& v) {
        using V = std::decay_t<decltype(v)>;
        if constexpr (std::same_as<V, std::string>)
          PutString(file, v);
        else if constexpr (std::same_as<V, GgufArray>)
          PutArray(file, v);
        else if constexpr (std::same_as<V, bool>)
          Put(file, static_cast<std::uint8_t>(v));
        else
          Put(file, v);
      },
      value.variant());
}

}  // namespace

GgufWriter::GgufWriter(const std::filesystem::path& path, GgufMetadata metadata)
    : name_(path.string()),
      file_(path),
      metadata_(std::move(metadata)),
      alignment_(metadata_.Find<std::uint64_t>("general.alignment").value_or(kGgufDefaultAlignment)) {
  CheckGgufAlignment(alignment_, name_);
}

void GgufWriter::Declare(std::string_view name, Type type, std::vector<std::int64_t> shape) {
  if (header_written_) Fail(ErrorKind::kInternal, "{}: tensor {} declared after data", name_, name);
  if (!names_.emplace(name).second) {
    Fail(ErrorKind::kInternal, "{}: tensor {} declared twice", name_, name);
  }
  const std::int64_t bytes = TensorBytes(type, shape);
  if (bytes <= 0) Fail(ErrorKind::kInternal, "{}: tensor {} is empty", name_, name);
  tensors_.push_back({std::string(name), type, std::move(shape), static_cast<std::uint64_t>(bytes)});
}

void GgufWriter::WriteHeader() {
  header_written_ = true;
  file_.Write(kGgufMagic);
  Put(file_, kVersion);
  Put(file_, static_cast<std::uint64_t>(tensors_.size()));
  Put(file_, static_cast<std::uint64_t>(metadata_.size()));
  for (const auto& [key, value] : metadata_) {
    PutString(file_, key);
    PutValue(file_, value);
  }
  std::uint64_t offset = 0;
  for (const Declared& tensor : tensors_) {
    PutString(file_, tensor.name);
    Put(file_, static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto n = tensor.shape.rbegin(); n != tensor.shape.rend(); ++n) Put(file_, *n);
    Put(file_, static_cast<std::uint32_t>(tensor.type));
    Put(file_, offset);
    offset = CheckedAlignUp(CheckedAdd(offset, tensor.bytes, "file size"), alignment_, "file size");
  }
  Pad();
}

void GgufWriter::Pad() {
  const std::uint64_t aligned = CheckedAlignUp(file_.offset(), alignment_, "file size");
  file_.Write(std::string(static_cast<std::size_t>(aligned - file_.offset()), '\0'));
}

void GgufWriter::Write(std::string_view name, std::span<const std::byte> bytes) {
  if (next_ == tensors_.size() || tensors_[next_].bytes != bytes.size()) {
    Fail(ErrorKind::kInternal, "{}: {} bytes of tensor {} written out of turn", name_, bytes.size(), name);
  }
  Append(name, bytes);
}

void GgufWriter::Append(std::string_view name, std::span<const std::byte> piece) {
  if (!header_written_) WriteHeader();
  if (next_ == tensors_.size() || tensors_[next_].name != name ||
      piece.size() > tensors_[next_].bytes - appended_) {
    Fail(ErrorKind::kInternal, "{}: {} bytes of tensor {} written out of turn", name_, piece.size(), name);
  }
  appended_ += piece.size();
  while (!piece.empty()) {
    const std::size_t n = std::min(piece.size(), kChunk);
    file_.Write(piece.first(n));
    piece = piece.subspan(n);
  }
  if (appended_ < tensors_[next_].bytes) return;
  Pad();
  appended_ = 0;
  ++next_;
}

void GgufWriter::Commit() {
  if (!header_written_) WriteHeader();
  if (next_ != tensors_.size()) {
    Fail(ErrorKind::kInternal, "{}: tensor {} was declared but not written", name_, tensors_[next_].name);
  }
  file_.Commit();
}

}  // namespace longspan
