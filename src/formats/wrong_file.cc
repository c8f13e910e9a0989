#include "formats/wrong_file.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstring>

#include "base/error.h"

namespace longspan {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kHead = 4096;  // bytes that are searched for the beginning of a text

constexpr std::string_view kLfsPointer = "version https://git-lfs.github.com/spec/";

// How web pages begin, in lower case.
constexpr std::array<std::string_view, 5> kWebPage{"<!doctype html", "<html", "<head", "<body", "<!--"};

struct Magic {
  std::string_view bytes;
  std::string_view meaning;
};
constexpr std::array<Magic, 4> kCompressed{{{"\x1f\x8b\x08"sv, "gzip"},
                                            {"\x28\xb5\x2f\xfd"sv, "zstd"},
                                            {"\xfd\x37\x7a\x58\x5a"sv, "xz"},
                                            {"BZh"sv, "bzip2"}}};
// A zip archive, as torch.save makes it, and a bare pickle, as it did before.
constexpr std::array<std::string_view, 2> kPickles{"PK\x03\x04"sv, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9"sv};

constexpr std::string_view kPickleAdvice =
    "pickles are not read because they can run code: save as safetensors first (save_pretrained with "
    "safe_serialization=True)";

bool IsSafetensors(std::string_view contents) {
  std::uint64_t header = 0;
  if (contents.size() < sizeof(header) + 2) return false;
  std::memcpy(&header, contents.data(), sizeof(header));
  return header < (1 << 28) && contents[8] == '{' && (contents[9] == '"' || contents[9] == ' ');
}

// The first bytes in lower case, without a byte order mark and blanks before them.
std::string LowerText(std::string_view contents) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  contents = contents.substr(0, kHead);
  if (contents.starts_with(kMark)) contents.remove_prefix(kMark.size());
  contents.remove_prefix(std::min(contents.find_first_not_of(" \t\r\n"), contents.size()));
  std::string text(contents);
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

void RefuseWrongFile(std::string_view contents, const std::string& file) {
  const auto begins = [&](std::string_view with) { return contents.starts_with(with); };
  if (contents.empty()) {
    Fail(ErrorKind::kInvalidFile, "{}: is empty; was its download cut off?", file);
  }
  if (begins(kLfsPointer)) {
    Fail(ErrorKind::kInvalidFile,
         "{}: is a Git LFS pointer, not the file that it points to; run `git lfs pull` in its folder", file);
  }
  const std::string text = LowerText(contents);
  if (std::ranges::any_of(kWebPage, [&](std::string_view tag) { return text.starts_with(tag); })) {
    Fail(
        ErrorKind::kInvalidFile,
        "{}: is a web page (HTML), not the file that was meant; download it from its direct link, and log in "
        "if the site asks for it",
        file);
  }
  if (text.starts_with("<?xml")) {
    Fail(ErrorKind::kInvalidFile, "{}: is an XML document, perhaps a server's error message; download again",
         file);
  }
  if (std::ranges::any_of(kPickles, begins)) {
    Fail(ErrorKind::kUnsupported, "{}: is a zip archive or a pickle, as PyTorch saves weights; {}", file,
         kPickleAdvice);
  }
  for (const Magic& magic : kCompressed) {
    if (begins(magic.bytes))
      Fail(ErrorKind::kInvalidFile, "{}: is compressed ({}); unpack it first", file, magic.meaning);
  }
  if (begins("GGUF"))
    Fail(ErrorKind::kInvalidFile, "{}: is a GGUF file by its contents; rename it to .gguf", file);
  if (IsSafetensors(contents)) {
    Fail(ErrorKind::kInvalidFile,
         "{}: is a safetensors file by its contents; longspan convert makes a .gguf file of the folder that "
         "it is in",
         file);
  }
}

void RefuseWrongFile(std::span<const std::byte> contents, const std::string& file) {
  RefuseWrongFile(std::string_view(reinterpret_cast<const char*>(contents.data()), contents.size()), file);
}

void RefusePickle(const std::filesystem::path& file) {
  Fail(ErrorKind::kUnsupported, "{}: its weights are PyTorch pickles; {}", file.string(), kPickleAdvice);
}

}  // namespace longspan
