// A cursor over untrusted little-endian bytes. Whatever it cannot give is an Error(kInvalidFile) that names
// the file and the byte offset.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/printable.h"

namespace longspan {

static_assert(std::endian::native == std::endian::little,
              "files are read by copying their little-endian values");

class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {}

  std::size_t offset() const { return offset_; }
  std::size_t remaining() const { return bytes_.size() - offset_; }

  // The next bytes, without copying.
  std::span<const std::byte> Take(std::uint64_t size, std::string_view what) {
    if (size > remaining()) FailAt("{} needs {} bytes, {} remain", what, size, remaining());
    const std::span<const std::byte> taken = bytes_.subspan(offset_, size);
    offset_ += size;
    return taken;
  }

  template <class T>
  requires std::integral<T> || std::floating_point<T> T Read(std::string_view what) {
    T value;
    std::memcpy(&value, Take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  std::string_view ReadText(std::uint64_t size, std::string_view what) {
    const std::span<const std::byte> bytes = Take(size, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  // `count` as a size, once it is known that this many items of at least `item_bytes` each can still follow:
  // only then may memory be reserved for them.
  std::size_t CheckCount(std::uint64_t count, std::size_t item_bytes, std::string_view what) const {
    if (count > remaining() / item_bytes) {
      FailAt("{} {} of at least {} bytes each cannot fit in the {} bytes that remain", count, what,
             item_bytes, remaining());
    }
    return static_cast<std::size_t>(count);
  }

  // Throws an error that names the file and the position of the cursor.
  template <class... Args>
  [[noreturn]] void FailAt(fmt::format_string<Args...> format, Args&&... args) const {
    Fail(ErrorKind::kInvalidFile, "{}: at byte {}: {}", file_, offset_,
         fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  std::span<const std::byte> bytes_;
  std::string file_;
  std::size_t offset_ = 0;
};

}  // namespace longspan
