// Corpora: JSON lines, arrays and text, plain, zstd or gzip. What can be read is UTF-8, is the same when it
// is compressed, and does not keep the next file from being read.
#include "data/corpus.h"

#include <algorithm>

#include "data/testing/compressed.h"
#include "fuzz/input.h"
#include "fuzz/target.h"
#include "text/utf8.h"

namespace longspan::fuzz {
namespace {

constexpr std::string_view kLast = "the last";

// The texts of a file under this name and of a good one after it.
std::vector<std::string> Read(std::span<const std::byte> file, const std::string& name) {
  const MemoryFile first(file), last(std::as_bytes(std::span(kLast)));
  static const TestFolder place;
  const std::filesystem::path link = place / name;
  std::filesystem::create_symlink(first.path(), link);
  CorpusOptions options;
  options.max_document_bytes = 1 << 20;
  options.max_record_bytes = 1 << 21;
  options.max_window_log = 20;
  Corpus corpus({link, last.path()}, options);
  std::vector<std::string> texts;
  while (auto document = corpus.Next()) {
    texts.push_back(std::move(document->text));
    const std::string& subset = document->subset;
    const bool good = std::ranges::all_of(subset, [](char c) { return c > ' ' && c < 127 && c != '/'; });
    if (!good || subset.size() > 40) Fail(ErrorKind::kInternal, "a subset that is no name");
  }
  std::filesystem::remove(link);
  const CorpusSkips& skips = corpus.skips();
  for (const SkippedParts* parts : {&skips.lines, &skips.documents, &skips.files}) {
    for (const std::string& why : parts->named) {
      Attempt([&] { throw Error(ErrorKind::kInvalidFile, why); });  // judged like an answer
    }
  }
  return texts;
}

}  // namespace

void Parse(std::span<const std::byte> input) {
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size());
  const bool packed = bytes.starts_with("\x1F\x8B") || bytes.starts_with("\x28\xB5\x2F\xFD") ||
                      bytes.substr(0, 4).ends_with("\x2A\x4D\x18");
  for (const std::string name : {"a.jsonl", "a"}) {
    const std::vector<std::string> texts = Read(input, name);
    if (texts.empty() || texts.back() != kLast) Fail(ErrorKind::kInternal, "the last file is not read");
    for (const std::string& text : texts) {
      if (ValidUtf8Prefix(text) < text.size()) Fail(ErrorKind::kInternal, "a text that is not UTF-8");
    }
    if (packed) continue;
    const std::string gzip = Gzip(bytes);
    if (Read(std::as_bytes(std::span(gzip)), name) != texts) {
      Fail(ErrorKind::kInternal, "other texts when packed");
    }
  }
}

void MakeSeeds(const std::filesystem::path& folder) {
  const std::string lines =
      "{\"text\": \"a\\ud83d\\ude00\", \"meta\": {\"x\": [1e999, NaN]}}\n{\"text\": \"b\"}\n";
  const std::string array = "[{\"text\": \"a\"},\n {\"text\": \"b\", \"c\": null}]";
  WriteFile(folder / "lines", "\xEF\xBB\xBF" + lines);
  WriteFile(folder / "array", array);
  WriteFile(folder / "repr",
            "{\"text\": \"a\", \"meta\": \"{'n': None, 'u': \\\"it's\\\", 'source': 'c4'}\"}\n"
            "{\"meta\": {\"source\": \"cc/x\"}, \"text\": \"b\", \"source\": \"book\"}\n");
  WriteFile(folder / "text", "Once upon a time.\n");
  WriteFile(folder / "zstd", Zstd(lines) + Zstd(array));
  WriteFile(folder / "gzip", Gzip(lines) + Gzip(array));
  WriteFile(folder / "window", ZstdWithWindow(lines, 18));
}

}  // namespace longspan::fuzz
