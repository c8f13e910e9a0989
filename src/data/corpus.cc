#include "data/corpus.h"

#include <simdjson.h>

#include <algorithm>
#include <string_view>

#include "base/cancel.h"
#include "base/error.h"
#include "data/input_stream.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadBytes = std::size_t{1} << 18;
constexpr std::size_t kBinaryProbe = 8192;  // a NUL among this many first bytes makes a file binary

bool IsJsonLines(fs::path path) {
  if (path.extension() == ".zst") path.replace_extension();
  return path.extension() == ".jsonl";
}

// The text field of a JSON object into `text`; says what is wrong where there is none. The whole line is
// parsed, so that one which breaks off after its text is found out.
std::string ParseText(simdjson::dom::parser& parser, std::string& line, const std::string& field,
                      std::string& text) {
  line.reserve(line.size() + simdjson::SIMDJSON_PADDING);
  simdjson::dom::object object;
  const bool copy = false;  // the padding is there
  if (auto error = parser.parse(line.data(), line.size(), copy).get(object)) {
    return simdjson::error_message(error);
  }
  simdjson::dom::element value;
  if (object.at_key(field).get(value)) return fmt::format("no field \"{}\"", field);
  std::string_view content;
  if (value.get(content)) return fmt::format("field \"{}\" is not a string", field);
  text.assign(content);
  return {};
}

}  // namespace

// The lines of a file, no longer than a limit each.
class Corpus::Lines {
 public:
  enum class Status { kLine, kTooLong, kEnd };

  Lines(const fs::path& path, std::uint64_t limit)
      : path_(path), stream_(InputStream::Open(path)), limit_(limit), buffer_(kReadBytes) {}

  Status Next(std::string& line) {
    line.clear();
    bool too_long = false, any = false;
    for (;;) {
      if (begin_ == end_) {
        begin_ = 0;
        end_ = stream_->Read(buffer_);
        if (end_ == 0) break;
      }
      any = true;
      const std::string_view rest(buffer_.data() + begin_, end_ - begin_);
      const std::size_t newline = rest.find('\n');
      const std::string_view part = rest.substr(0, newline);
      if (line.size() + part.size() > limit_) too_long = true;
      if (!too_long) line.append(part);
      begin_ += part.size() + (newline != rest.npos);
      if (newline != rest.npos) break;
    }
    if (!any) return Status::kEnd;
    ++number_;
    return too_long ? Status::kTooLong : Status::kLine;
  }

  std::string Where() const { return fmt::format("{}:{}", path_.string(), number_); }
  std::uint64_t consumed() const { return stream_->consumed(); }

 private:
  fs::path path_;
  std::unique_ptr<InputStream> stream_;
  std::uint64_t limit_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::int64_t number_ = 0;
};

struct Corpus::Parser {
  simdjson::dom::parser json;
  std::string line;
};

Corpus::Corpus(const std::vector<fs::path>& inputs, CorpusOptions options)
    : options_(std::move(options)), parser_(std::make_unique<Parser>()) {
  for (const fs::path& input : inputs) {
    std::error_code error;
    const fs::file_status status = fs::status(input, error);
    if (!fs::exists(status)) Fail(ErrorKind::kIo, "{}: no such file or folder", input.string());
    if (fs::is_directory(status))
      AddFolder(input);
    else
      AddFile(input, true);
  }
}

Corpus::~Corpus() = default;

void Corpus::AddFolder(const fs::path& folder) {
  std::vector<fs::path> paths;
  try {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.is_regular_file()) paths.push_back(entry.path());
    }
  } catch (const fs::filesystem_error& error) {
    Fail(ErrorKind::kIo, "{}: cannot list the folder: {}", folder.string(), error.code().message());
  }
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) AddFile(path, false);
}

void Corpus::AddFile(const fs::path& path, bool named) {
  std::error_code error;
  const std::uint64_t bytes = fs::file_size(path, error);
  if (error) Fail(ErrorKind::kIo, "{}: expected a file: {}", path.string(), error.message());
  files_.push_back({path, bytes, named});
  total_bytes_ += bytes;
}

std::uint64_t Corpus::read_bytes() const { return finished_bytes_ + (lines_ ? lines_->consumed() : 0); }

std::optional<Document> Corpus::Next() {
  for (;;) {
    ThrowIfCancelled();
    if (lines_) {
      if (auto document = NextLine()) return document;
      lines_.reset();
      finished_bytes_ += files_[next_file_ - 1].bytes;
    }
    if (next_file_ == files_.size()) return std::nullopt;
    const File& file = files_[next_file_++];
    if (IsJsonLines(file.path)) {
      lines_ = std::make_unique<Lines>(file.path, options_.max_document_bytes);
      continue;
    }
    auto document = WholeFile(file);
    finished_bytes_ += file.bytes;
    if (document) return document;
  }
}

std::optional<Document> Corpus::NextLine() {
  std::string& line = parser_->line;
  for (;;) {
    const Lines::Status status = lines_->Next(line);
    if (status == Lines::Status::kEnd) return std::nullopt;
    if (status == Lines::Status::kTooLong) {
      Skip(skips_.lines,
           fmt::format("{}: the line has over {} bytes", lines_->Where(), options_.max_document_bytes));
      continue;
    }
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    std::string text;
    const std::string problem = ParseText(parser_->json, line, options_.text_field, text);
    if (problem.empty()) return Document{std::move(text), lines_->Where()};
    Skip(skips_.lines, fmt::format("{}: expected a JSON object with a text: {}", lines_->Where(), problem));
  }
}

std::optional<Document> Corpus::WholeFile(const File& file) {
  const auto stream = InputStream::Open(file.path);
  Document document{{}, file.path.string()};
  std::vector<char> buffer(kReadBytes);
  while (const std::size_t n = stream->Read(buffer)) {
    const std::string_view front(buffer.data(), std::min(n, kBinaryProbe));
    if (document.text.empty() && front.find('\0') != front.npos) {
      const std::string reason = fmt::format("{}: expected text, found a binary file", document.source);
      if (file.named) throw Error(ErrorKind::kInvalidFile, reason);
      Skip(skips_.files, reason);
      return std::nullopt;
    }
    if (document.text.size() + n > options_.max_document_bytes) {
      Skip(skips_.files, fmt::format("{}: over {} bytes of text in one document", document.source,
                                     options_.max_document_bytes));
      return std::nullopt;
    }
    document.text.append(buffer.data(), n);
  }
  if (document.text.empty()) return std::nullopt;
  return document;
}

void Corpus::Skip(std::int64_t& count, std::string reason) {
  if (options_.strict) throw Error(ErrorKind::kInvalidFile, reason);
  if (skips_.first.empty()) skips_.first = std::move(reason);
  ++count;
}

CorpusSkips ForEachDocument(const std::vector<fs::path>& inputs, const CorpusOptions& options,
                            const std::function<bool(Document)>& visit) {
  Corpus corpus(inputs, options);
  while (auto document = corpus.Next()) {
    if (!visit(std::move(*document))) break;
  }
  return corpus.skips();
}

}  // namespace longspan
