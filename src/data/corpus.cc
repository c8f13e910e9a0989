#include "data/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "data/subset.h"
#include "data/text_field.h"
#include "data/text_format.h"
#include "text/utf8.h"

namespace longspan {

namespace fs = std::filesystem;

namespace {

// How many lines of the file end before the first that the piece has.
std::int64_t LinesBefore(const CorpusPiece& piece) {
  TextReader reader(InputStream::OpenPlain(piece.file.path, 0));
  for (std::uint64_t left = piece.begin - 1; left > 0;) {
    ThrowIfCancelled();
    const std::size_t n = std::min<std::uint64_t>(reader.Peek().size(), left);
    if (n == 0) break;
    reader.Skip(n);
    left -= n;
  }
  return reader.line_ends() + 1;  // and the one that the byte before the piece belongs to
}

bool IsBlank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == text.npos; }

}  // namespace

SkipNote NoteOf(const Document& document, std::string_view why) {
  if (document.line == 0) return {fmt::format("{}: {}", document.file, why), 0, {}};
  return {fmt::format("{}:", document.file), document.line, fmt::format(": {}", why)};
}

Corpus::Corpus(const std::vector<fs::path>& inputs, CorpusOptions options) : options_(std::move(options)) {
  CorpusFiles found = ListCorpus(inputs, options_.strict);
  skips_ = std::move(found.skips);
  for (CorpusFile& file : found.files) {
    total_bytes_ += file.bytes;
    pieces_.push_back({std::move(file)});
  }
}

Corpus::Corpus(std::vector<CorpusPiece> pieces, CorpusOptions options)
    : options_(std::move(options)), pieces_(std::move(pieces)) {
  for (const CorpusPiece& piece : pieces_) total_bytes_ += piece.bytes();
}

std::uint64_t Corpus::read_bytes() const {
  return finished_bytes_ + (records_ ? std::min(records_->reader->consumed(), piece().bytes()) : 0);
}

std::optional<Document> Corpus::Next() {
  while (records_ || next_piece_ < pieces_.size()) {
    ThrowIfCancelled();
    try {
      const bool begins = !records_;
      std::optional<Document> document = begins ? OpenPiece() : NextRecord();
      const bool goes_on = records_ && (begins || document);
      if (!goes_on) CloseFile();
      if (document) return document;
    } catch (const Error& error) {
      if (options_.strict || error.kind() == ErrorKind::kCancelled) throw;
      const std::int64_t line = records_ ? records_->Line() : 1;
      if (line > 1)
        Skip(skips_.files, {fmt::format("{}; the lines before ", error.what()), line, " are used"});
      else
        Skip(skips_.files, {error.what(), 0, {}});
      CloseFile();
    }
  }
  return std::nullopt;
}

std::optional<Document> Corpus::OpenPiece() {
  const CorpusPiece& piece = pieces_[next_piece_++];
  const fs::path& path = piece.file.path;
  if (piece.begin > 0) {
    OpenLines(piece.begin);
    return std::nullopt;
  }
  auto reader = std::make_unique<TextReader>(InputStream::Open(path, options_.max_window_log));
  const std::string_view front = reader->Peek(kFormatProbe);
  const TextFormat format = FindTextFormat(front, path, options_.text_field);
  if (format == TextFormat::kOther) {
    const std::string why = fmt::format("{}: expected text, found {}", path.string(), NotText(front));
    piece.file.named ? Skip(skips_.files, {why, 0, {}}) : skips_.others.Add(why);
    return std::nullopt;
  }
  const std::size_t mark = front.size() - WithoutByteOrderMark(front).size();
  reader->Skip(mark);
  if (format == TextFormat::kText) return ReadWhole(*reader);
  // The line behind a mark begins with it.
  const std::uint64_t end = mark > 0 ? std::max<std::uint64_t>(piece.end, mark + 1) : piece.end;
  records_ = Records{std::move(reader), format == TextFormat::kJsonLines, 0, end};
  return std::nullopt;
}

void Corpus::OpenLines(std::uint64_t begin) {
  // The line that the byte before belongs to is the piece before's.
  auto reader = std::make_unique<TextReader>(InputStream::OpenPlain(piece().file.path, begin - 1));
  reader->ReadLine(record_, 0);
  const std::uint64_t end = piece().end == CorpusPiece::kToEnd ? piece().end : piece().end - (begin - 1);
  records_ = Records{std::move(reader), true, 1, end};
}

void Corpus::CloseFile() {
  if (records_ && !piece().whole()) piece_lines_ += records_->reader->line_ends() - records_->line;
  records_.reset();
  finished_bytes_ += piece().bytes();
}

std::optional<Document> Corpus::ReadWhole(TextReader& reader) {
  Document document{{}, path(), 0, SubsetOf(piece().file.path)};
  std::string& text = document.text;
  for (std::string_view rest = reader.Peek(); !rest.empty(); rest = reader.Peek()) {
    if (rest.size() > options_.max_document_bytes - text.size()) {
      SkipAt(
          skips_.documents, 0,
          fmt::format("over {} bytes of text in one document; split the file", options_.max_document_bytes));
      return std::nullopt;
    }
    text.append(rest);
    reader.Skip(rest.size());
  }
  if (const std::size_t valid = ValidUtf8Prefix(text); valid < text.size()) {
    SkipAt(skips_.documents, 0,
           fmt::format("not UTF-8 at byte {}; convert it, from Latin-1 with iconv -f LATIN1 -t UTF-8",
                       valid + 1));
    return std::nullopt;
  }
  if (text.empty()) return std::nullopt;
  return document;
}

std::optional<Document> Corpus::NextRecord() {
  using Piece = TextReader::Piece;
  auto& [reader, lines, before, end] = *records_;
  for (;;) {
    ThrowIfCancelled();
    if (reader->position() >= end) return std::nullopt;
    const Piece piece = lines ? reader->ReadLine(record_, options_.max_record_bytes)
                              : reader->ReadJsonValue(record_, options_.max_record_bytes);
    if (piece == Piece::kEnd) return std::nullopt;
    const std::int64_t line = reader->line() - before;
    if (piece == Piece::kTooLong) {
      SkipAt(skips_.lines, line, fmt::format("a record of over {} bytes", options_.max_record_bytes));
      continue;
    }
    if (piece == Piece::kCutOff) {
      SkipAt(skips_.lines, line, "the file ends within the object that begins here");
      continue;
    }
    if (IsBlank(record_)) continue;
    TextField found = ReadTextField(record_, options_.text_field);
    if (found.state == TextField::State::kText && !IsBlank(std::string_view(record_).substr(found.length))) {
      found.state = TextField::State::kMalformed;
      found.problem = fmt::format("more follows the object, at byte {} of the record", found.length + 1);
    }
    if (found.state != TextField::State::kText) {
      SkipAt(skips_.lines, line, fmt::format("expected a JSON object with a text: {}", found.problem));
      continue;
    }
    if (found.text.size() > options_.max_document_bytes) {
      SkipAt(skips_.documents, line,
             fmt::format("over {} bytes of text in one document", options_.max_document_bytes));
      continue;
    }
    return Document{std::move(found.text), path(), line,
                    SubsetOf(record_, found.marks, this->piece().file.path)};
  }
}

void Corpus::SkipDocument(const Document& document, const std::string& why) {
  Skip(skips_.documents, NoteOf(document, why));
}

void Corpus::SkipAt(SkippedParts& parts, std::int64_t line, std::string_view why) {
  Skip(parts, NoteOf({{}, path(), line, {}}, why));
}

void Corpus::Skip(SkippedParts& parts, SkipNote note) {
  if (options_.strict) {
    if (note.line > 0 && piece().begin > 0) note.line += LinesBefore(piece());
    throw Error(ErrorKind::kInvalidFile, note.Text());
  }
  parts.Add(std::move(note));
}

}  // namespace longspan
