#include "data/text_format.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "data/text_field.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::size_t kBinaryProbe = 8192;  // a NUL among so many first bytes makes a file binary

struct Signature {
  std::string_view bytes, meaning;
};
constexpr std::array kSignatures = {
    Signature{"\xFF\xFE"sv, "UTF-16 or UTF-32 text; convert it with iconv -t UTF-8"},
    Signature{"\xFE\xFF"sv, "UTF-16 text; convert it with iconv -t UTF-8"},
    Signature{"\0\0\xFE\xFF"sv, "UTF-32 text; convert it with iconv -t UTF-8"},
    Signature{"version https://git-lfs."sv, "a pointer of Git LFS; fetch the file itself with git lfs pull"},
    Signature{"PAR1"sv, "a Parquet file; export it as JSON lines"},
    Signature{"%PDF-"sv, "a PDF file; extract its text first"},
    Signature{"PK\x03\x04"sv, "a zip archive; unpack it first"},
    Signature{"\xFD"sv
              "7zXZ\0"sv,
              "an xz file; pack it with zstd or gzip instead"},
    Signature{"BZh91AY"sv, "a bzip2 file; pack it with zstd or gzip instead"},
    Signature{"LSPNSHRD"sv, "a shard, which is tokenised already"},
};

std::string LowerExtension(const fs::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return extension;
}

bool IsNamedJson(const fs::path& path) {
  std::string extension = LowerExtension(path);
  if (extension == ".zst" || extension == ".gz") extension = LowerExtension(path.stem());
  return extension == ".json" || extension == ".jsonl" || extension == ".ndjson";
}

std::string_view WithoutSpace(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(kSpace), text.size()));
}

}  // namespace

std::string_view WithoutByteOrderMark(std::string_view text) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  return text.starts_with(kMark) ? text.substr(kMark.size()) : text;
}

std::string NotText(std::string_view front) {
  for (const auto& [bytes, meaning] : kSignatures) {
    if (front.starts_with(bytes)) return std::string(meaning);
  }
  return front.substr(0, kBinaryProbe).find('\0') == front.npos ? "" : "a binary file";
}

TextFormat FindTextFormat(std::string_view front, const fs::path& path, std::string_view text_field) {
  using State = TextField::State;
  const bool named = IsNamedJson(path);
  const TextFormat otherwise = named ? TextFormat::kJsonLines : TextFormat::kText;
  const std::string_view begin = WithoutSpace(WithoutByteOrderMark(front));
  const bool array = begin.starts_with('[');
  // A NUL in one line of JSON spoils that line alone. One right after the first bracket means UTF-16.
  const bool begins_json = named && (array || begin.starts_with('{')) && begin.substr(1, 1) != "\0"sv;
  if (!begins_json && !NotText(front).empty()) return TextFormat::kOther;
  const std::string_view object = array ? WithoutSpace(begin.substr(1)) : begin;
  if (named && array && object.starts_with(']')) return TextFormat::kJsonValues;  // empty
  if (!object.starts_with('{')) return otherwise;

  const TextField first = ReadTextField(object, text_field);
  if (first.state == State::kMalformed) return named && array ? TextFormat::kJsonValues : otherwise;
  if (first.state == State::kNoText && !named) return TextFormat::kText;
  // Text that ends early is no JSON. At the end of a probe, it may be.
  if (first.state == State::kUnfinished && front.size() < kFormatProbe && !named) return TextFormat::kText;
  const std::string_view seen = first.state == State::kUnfinished ? object : object.substr(0, first.length);
  const bool several_lines = seen.find('\n') != seen.npos;
  return array || several_lines ? TextFormat::kJsonValues : TextFormat::kJsonLines;
}

}  // namespace longspan
