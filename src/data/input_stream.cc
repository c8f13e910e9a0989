#include "data/input_stream.h"

#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace longspan {
namespace {

constexpr int kMaxWindowLog = 27;

class PlainStream : public InputStream {
 public:
  explicit PlainStream(const std::filesystem::path& path)
      : path_(path), file_(std::fopen(path.c_str(), "rbe"), &std::fclose) {
    if (!file_) Fail(ErrorKind::kIo, "{}: cannot open: {}", path.string(), std::strerror(errno));
  }

  std::size_t Read(std::span<char> out) override {
    const std::size_t n = std::fread(out.data(), 1, out.size(), file_.get());
    if (n == 0 && std::ferror(file_.get())) {
      Fail(ErrorKind::kIo, "{}: cannot read: {}", path_.string(), std::strerror(errno));
    }
    consumed_ += n;
    return n;
  }

  std::uint64_t consumed() const override { return consumed_; }

 private:
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::uint64_t consumed_ = 0;
};

class ZstdStream : public InputStream {
 public:
  explicit ZstdStream(const std::filesystem::path& path)
      : path_(path), file_(path), context_(ZSTD_createDCtx(), &ZSTD_freeDCtx), packed_(ZSTD_DStreamInSize()) {
    if (!context_) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
  }

  std::size_t Read(std::span<char> out) override {
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    while (output.pos < output.size) {
      if (input_.pos == input_.size) {
        input_ = {packed_.data(), file_.Read(packed_), 0};
        if (input_.size == 0) {
          // The frame may still hold text that found no room in an earlier call.
          if (inside_frame_) Step(output);
          if (inside_frame_ && output.pos == 0) {
            Fail(ErrorKind::kInvalidFile, "{}: the zstd stream ends within a frame, at byte {}",
                 path_.string(), file_.consumed());
          }
          break;
        }
      }
      Step(output);
    }
    return output.pos;
  }

  std::uint64_t consumed() const override { return file_.consumed(); }

 private:
  void Step(ZSTD_outBuffer& output) {
    const std::size_t left = ZSTD_decompressStream(context_.get(), &output, &input_);
    if (ZSTD_isError(left)) {
      Fail(ErrorKind::kInvalidFile, "{}: broken zstd stream before byte {}: {}", path_.string(),
           file_.consumed(), ZSTD_getErrorName(left));
    }
    inside_frame_ = left != 0;
  }

  std::filesystem::path path_;
  PlainStream file_;
  std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context_;
  std::vector<char> packed_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  bool inside_frame_ = false;
};

}  // namespace

std::unique_ptr<InputStream> InputStream::Open(const std::filesystem::path& path) {
  if (path.extension() == ".zst") return std::make_unique<ZstdStream>(path);
  return std::make_unique<PlainStream>(path);
}

}  // namespace longspan
