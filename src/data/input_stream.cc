#include "data/input_stream.h"

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

constexpr std::size_t kPackedBytes = std::size_t{1} << 17;

// The bytes of a file as they are.
class PlainStream : public InputStream {
 public:
  explicit PlainStream(const fs::path& path, std::uint64_t begin = 0)
      : path_(path), file_(std::fopen(path.c_str(), "rbe"), &std::fclose) {
    if (!file_) Fail(ErrorKind::kIo, "{}: cannot open: {}", path.string(), std::strerror(errno));
    if (begin > 0 && ::fseeko(file_.get(), static_cast<off_t>(begin), SEEK_SET) != 0) {
      Fail(ErrorKind::kIo, "{}: cannot go to byte {}: {}", path.string(), begin, std::strerror(errno));
    }
    char front[4];
    front_.assign(front, ReadFile(front));
    consumed_ = 0;
  }

  // The first four bytes, which Read still gives out.
  std::string_view front() const { return front_; }

  std::size_t Read(std::span<char> out) override {
    if (!front_.empty()) {
      const std::size_t n = std::min(front_.size(), out.size());
      std::copy_n(front_.begin(), n, out.begin());
      front_.erase(0, n);
      consumed_ += n;
      return n;
    }
    return ReadFile(out);
  }

  std::uint64_t consumed() const override { return consumed_; }
  std::string name() const { return path_.string(); }

 private:
  std::size_t ReadFile(std::span<char> out) {
    const std::size_t n = std::fread(out.data(), 1, out.size(), file_.get());
    if (n == 0 && std::ferror(file_.get())) {
      Fail(ErrorKind::kIo, "{}: cannot read: {}", name(), std::strerror(errno));
    }
    consumed_ += n;
    return n;
  }

  fs::path path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::string front_;
  std::uint64_t consumed_ = 0;
};

class ZstdStream : public InputStream {
 public:
  ZstdStream(PlainStream file, int max_window_log)
      : file_(std::move(file)),
        max_window_log_(max_window_log),
        context_(ZSTD_createDCtx(), &ZSTD_freeDCtx),
        packed_(kPackedBytes) {
    if (!context_) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, max_window_log);
  }

  std::size_t Read(std::span<char> out) override {
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    while (output.pos < output.size && !ZSTD_isError(left_)) {
      if (input_.pos == input_.size) {
        input_ = {packed_.data(), file_.Read(packed_), 0};
        if (input_.size == 0) {
          // The frame may still hold text that did not fit in an earlier call.
          if (left_ != 0) Step(output);
          if (left_ != 0 && output.pos == 0 && !ZSTD_isError(left_)) {
            Fail(ErrorKind::kInvalidFile, "{}: cut off: the zstd stream ends within a frame, at byte {}",
                 file_.name(), file_.consumed());
          }
          break;
        }
      }
      Step(output);
    }
    if (output.pos == 0 && ZSTD_isError(left_)) Refuse(left_);
    return output.pos;
  }

  std::uint64_t consumed() const override { return file_.consumed(); }

 private:
  void Step(ZSTD_outBuffer& output) { left_ = ZSTD_decompressStream(context_.get(), &output, &input_); }

  [[noreturn]] void Refuse(std::size_t code) const {
    switch (ZSTD_getErrorCode(code)) {
      case ZSTD_error_frameParameter_windowTooLarge:
        Fail(ErrorKind::kUnsupported, "{}: the zstd stream needs a window of over 2^{} bytes", file_.name(),
             max_window_log_);
      case ZSTD_error_memory_allocation:
        Fail(ErrorKind::kOutOfMemory, "{}: no memory for the window of the zstd stream", file_.name());
      default:
        Fail(ErrorKind::kInvalidFile, "{}: broken zstd stream before byte {}: {}", file_.name(),
             file_.consumed(), ZSTD_getErrorName(code));
    }
  }

  PlainStream file_;
  int max_window_log_;
  std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context_;
  std::vector<char> packed_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  std::size_t left_ = 0;  // of the frame, as far as zstd knows; 0 between frames; or an error
};

// RFC 1952: one or more members, perhaps followed by zeros.
class GzipStream : public InputStream {
 public:
  explicit GzipStream(PlainStream file) : file_(std::move(file)), packed_(kPackedBytes) {
    constexpr int kWindowBits = 15, kGzipOnly = 16;
    if (inflateInit2(&stream_, kWindowBits + kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~GzipStream() override { inflateEnd(&stream_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  std::size_t Read(std::span<char> out) override {
    out = out.first(std::min<std::size_t>(out.size(), UINT32_MAX));
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    room_ = stream_.avail_out;
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0) {
        stream_.next_in = reinterpret_cast<Bytef*>(packed_.data());
        stream_.avail_in = static_cast<uInt>(file_.Read(packed_));
      }
      if (stream_.avail_in == 0 && !inside_member_) break;
      if (!inside_member_ && SkipPadding()) continue;
      if (Step()) continue;
      if (stream_.avail_out < room_) break;
      Fail(ErrorKind::kInvalidFile, "{}: cut off: the gzip stream ends within a member, at byte {}",
           file_.name(), file_.consumed());
    }
    return room_ - stream_.avail_out;
  }

  std::uint64_t consumed() const override { return file_.consumed(); }

 private:
  // Skips zeros between or after members. Returns whether there were any.
  bool SkipPadding() {
    const uInt before = stream_.avail_in;
    while (any_member_ && stream_.avail_in > 0 && *stream_.next_in == 0) {
      ++stream_.next_in;
      --stream_.avail_in;
    }
    return stream_.avail_in < before;
  }

  // Returns false where nothing more comes: the file ends, or is damaged after what this Read gave out.
  bool Step() {
    inside_member_ = any_member_ = true;
    const int status = inflate(&stream_, Z_NO_FLUSH);
    if (status == Z_STREAM_END) {
      inside_member_ = false;
      inflateReset(&stream_);
      return true;
    }
    if (status == Z_BUF_ERROR) return false;
    if (status != Z_OK && stream_.avail_out < room_) return false;  // the next Read reports it
    if (status != Z_OK) {
      Fail(ErrorKind::kInvalidFile, "{}: broken gzip stream before byte {}: {}", file_.name(),
           file_.consumed(), stream_.msg ? stream_.msg : "no reason given");
    }
    return true;
  }

  PlainStream file_;
  std::vector<char> packed_;
  z_stream stream_{};
  uInt room_ = 0;  // what a Read began with
  bool inside_member_ = false, any_member_ = false;
};

bool IsZstd(std::string_view front) {
  // A frame, or a skippable one: 0x184D2A5? (RFC 8878, sections 3.1.1 and 3.1.2).
  const bool skippable =
      front.size() == 4 && (front[0] & 0xF0) == 0x50 && front.substr(1) == "\x2A\x4D\x18"sv;
  return front == "\x28\xB5\x2F\xFD"sv || skippable;
}

bool IsGzip(std::string_view front) { return front.starts_with("\x1F\x8B"sv); }

}  // namespace

std::unique_ptr<InputStream> InputStream::OpenPlain(const fs::path& path, std::uint64_t begin) {
  return std::make_unique<PlainStream>(path, begin);
}

bool InputStream::IsPacked(const fs::path& path) {
  const PlainStream file(path);
  return IsZstd(file.front()) || IsGzip(file.front());
}

std::unique_ptr<InputStream> InputStream::Open(const fs::path& path, int max_window_log) {
  PlainStream file(path);
  if (IsZstd(file.front())) return std::make_unique<ZstdStream>(std::move(file), max_window_log);
  if (IsGzip(file.front())) return std::make_unique<GzipStream>(std::move(file));
  const std::string extension = path.extension().string();
  const bool compressed = extension == ".zst" || extension == ".gz";
  if (compressed && !file.front().empty()) {
    Fail(ErrorKind::kInvalidFile, "{}: named as a compressed file, but it does not begin as one",
         path.string());
  }
  return std::make_unique<PlainStream>(std::move(file));
}

}  // namespace longspan
