#include "data/corpus.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "data/text_field.h"
#include "data/text_format.h"
#include "text/utf8.h"

namespace longspan {

namespace fs = std::filesystem;

namespace {

bool IsBlank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == text.npos; }

}  // namespace

Corpus::Corpus(const std::vector<fs::path>& inputs, CorpusOptions options) : options_(std::move(options)) {
  for (const fs::path& input : inputs) {
    input_ = &input;
    std::error_code error;
    const fs::file_status status = fs::status(input, error);
    if (!fs::exists(status)) Fail(ErrorKind::kIo, "{}: no such file or folder", input.string());
    if (fs::is_directory(status))
      AddFolder(input);
    else
      AddFile(input, true);
  }
  input_ = nullptr;
  inputs_of_files_.clear();
}

void Corpus::AddFolder(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> paths;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    paths.push_back(entry->path());
  }
  if (error)
    return Skip(skips_.files,
                fmt::format("{}: cannot list the folder: {}", folder.string(), error.message()));
  std::ranges::sort(paths);
  for (const fs::path& path : paths) {
    const fs::file_status status = fs::status(path, error);
    const bool link = fs::is_symlink(fs::symlink_status(path, error));
    if (fs::is_regular_file(status))
      AddFile(path, false);
    else if (fs::is_directory(status) && !link)
      AddFolder(path);
    else if (fs::is_directory(status))  // it may lead back here
      skips_.others.Add(fmt::format("{}: a link to a folder; name it as an input of its own", path.string()));
    else
      skips_.others.Add(fmt::format("{}: {}", path.string(), link ? "a broken link" : "not a regular file"));
  }
}

void Corpus::AddFile(const fs::path& path, bool named) {
  std::error_code error;
  if (named && !fs::is_regular_file(path, error)) {
    Fail(ErrorKind::kIo, "{}: expected a regular file or a folder; save its contents in a file first",
         path.string());
  }
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) {
    const fs::path*& first = inputs_of_files_[{info.st_dev, info.st_ino}];
    if (first == input_) {  // it could be trained on and held out at once
      return skips_.others.Add(
          fmt::format("{}: another name of a file of the same folder, which is read once", path.string()));
    }
    if (first != nullptr) {
      Fail(ErrorKind::kBadOption, "{}: is read twice, for the inputs {} and {}; name it in one of them only",
           path.string(), first->string(), input_->string());
    }
    first = input_;
  }
  const std::uint64_t bytes = fs::file_size(path, error);
  if (error && named) Fail(ErrorKind::kIo, "{}: expected a file: {}", path.string(), error.message());
  files_.push_back({path, error ? 0 : bytes, named});
  total_bytes_ += files_.back().bytes;
}

std::uint64_t Corpus::read_bytes() const {
  return finished_bytes_ + (records_ ? records_->reader->consumed() : 0);
}

std::optional<Document> Corpus::Next() {
  while (records_ || next_file_ < files_.size()) {
    ThrowIfCancelled();
    try {
      const bool begins = !records_;
      std::optional<Document> document = begins ? OpenFile() : NextRecord();
      const bool goes_on = records_ && (begins || document);
      if (!goes_on) CloseFile();
      if (document) return document;
    } catch (const Error& error) {
      if (options_.strict || error.kind() == ErrorKind::kCancelled) throw;
      const std::int64_t line = records_ ? records_->reader->line() : 1;
      const std::string used = line > 1 ? fmt::format("; the lines before {} are used", line) : "";
      Skip(skips_.files, fmt::format("{}{}", error.what(), used));
      CloseFile();
    }
  }
  return std::nullopt;
}

std::optional<Document> Corpus::OpenFile() {
  const auto& [path, bytes, named] = files_[next_file_++];
  auto reader = std::make_unique<TextReader>(InputStream::Open(path, options_.max_window_log));
  const std::string_view front = reader->Peek(kFormatProbe);
  const TextFormat format = FindTextFormat(front, path, options_.text_field);
  if (format == TextFormat::kOther) {
    const std::string why = fmt::format("{}: expected text, found {}", path.string(), NotText(front));
    named ? Skip(skips_.files, why) : skips_.others.Add(why);
    return std::nullopt;
  }
  reader->Skip(front.size() - WithoutByteOrderMark(front).size());
  if (format == TextFormat::kText) return ReadWhole(*reader);
  records_ = Records{std::move(reader), format == TextFormat::kJsonLines};
  return std::nullopt;
}

void Corpus::CloseFile() {
  records_.reset();
  finished_bytes_ += file().bytes;
}

std::optional<Document> Corpus::ReadWhole(TextReader& reader) {
  Document document{{}, file().path.string()};
  std::string& text = document.text;
  for (std::string_view rest = reader.Peek(); !rest.empty(); rest = reader.Peek()) {
    if (rest.size() > options_.max_document_bytes - text.size()) {
      Skip(skips_.documents, fmt::format("{}: over {} bytes of text in one document; split the file",
                                         document.source, options_.max_document_bytes));
      return std::nullopt;
    }
    text.append(rest);
    reader.Skip(rest.size());
  }
  if (const std::size_t valid = ValidUtf8Prefix(text); valid < text.size()) {
    Skip(skips_.documents, fmt::format("{}: not UTF-8 at byte {}; convert it, from Latin-1 with "
                                       "iconv -f LATIN1 -t UTF-8",
                                       document.source, valid + 1));
    return std::nullopt;
  }
  if (text.empty()) return std::nullopt;
  return document;
}

std::optional<Document> Corpus::NextRecord() {
  using Piece = TextReader::Piece;
  auto& [reader, lines] = *records_;
  for (;;) {
    ThrowIfCancelled();
    const Piece piece = lines ? reader->ReadLine(record_, options_.max_record_bytes)
                              : reader->ReadJsonValue(record_, options_.max_record_bytes);
    if (piece == Piece::kEnd) return std::nullopt;
    const std::string where = fmt::format("{}:{}", file().path.string(), reader->line());
    if (piece == Piece::kTooLong) {
      Skip(skips_.lines, fmt::format("{}: a record of over {} bytes", where, options_.max_record_bytes));
      continue;
    }
    if (piece == Piece::kCutOff) {
      Skip(skips_.lines, fmt::format("{}: the file ends within the object that begins here", where));
      continue;
    }
    if (IsBlank(record_)) continue;
    TextField found = ReadTextField(record_, options_.text_field);
    if (found.state == TextField::State::kText && !IsBlank(std::string_view(record_).substr(found.length))) {
      found.state = TextField::State::kMalformed;
      found.problem = fmt::format("more follows the object, at byte {} of the record", found.length + 1);
    }
    if (found.state != TextField::State::kText) {
      Skip(skips_.lines, fmt::format("{}: expected a JSON object with a text: {}", where, found.problem));
      continue;
    }
    if (found.text.size() > options_.max_document_bytes) {
      Skip(skips_.documents,
           fmt::format("{}: over {} bytes of text in one document", where, options_.max_document_bytes));
      continue;
    }
    return Document{std::move(found.text), where};
  }
}

void Corpus::SkipDocument(const Document& document, const std::string& why) {
  Skip(skips_.documents, fmt::format("{}: {}", document.source, why));
}

void Corpus::Skip(SkippedParts& parts, std::string why) {
  if (options_.strict) throw Error(ErrorKind::kInvalidFile, why);
  parts.Add(std::move(why));
}

}  // namespace longspan
