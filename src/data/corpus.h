// Corpora: files and folders of text, read as a stream of documents.
//
//   JSON lines    an object a line, its text in one field (RedPajama's shape: text, meta, ...)
//   JSON          an array of such objects, or one object
//   any other     one document (.txt, .md, .pod, ...)
//   a folder      its files, recursively, in the order of their names
//
// The contents of a file say what it is (text_format.h), after decompression by zstd or gzip. Text is UTF-8:
// a document that is not is skipped. Whatever cannot be used is skipped, counted and named (skips.h), and the
// rest goes on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus_files.h"
#include "data/input_stream.h"
#include "data/skips.h"
#include "data/text_reader.h"

namespace longspan {

struct Document {
  std::string text;
  std::string file;
  std::int64_t line = 0;  // 0: the document is the whole file
  std::string subset;     // of the corpus; "" where nothing says which (subset.h)
};

// "file:line: why", or "file: why" for a whole file.
SkipNote NoteOf(const Document& document, std::string_view why);

struct CorpusOptions {
  std::string text_field = "text";
  bool strict = false;  // whatever would be skipped and holds text is an error
  // These bound the memory in use. A record of JSON has other fields and escapes, so it may be longer.
  std::size_t max_document_bytes = std::size_t{64} << 20;
  std::size_t max_record_bytes = std::size_t{256} << 20;
  int max_window_log = InputStream::kMaxWindowLog;  // of zstd
};

class Corpus {
 public:
  // All files of `inputs`. Errors as ListCorpus (corpus_files.h).
  Corpus(const std::vector<std::filesystem::path>& inputs, CorpusOptions options);
  // These files, or pieces of them. The lines of a piece are counted from where it begins.
  Corpus(std::vector<CorpusPiece> pieces, CorpusOptions options);

  // The next document, or nothing at the end.
  std::optional<Document> Next();

  // Counts a document as skipped after all, because nothing could be made of it. Throws where strict.
  void SkipDocument(const Document& document, const std::string& why);

  const CorpusSkips& skips() const { return skips_; }
  std::uint64_t total_bytes() const { return total_bytes_; }  // as stored
  std::uint64_t read_bytes() const;
  // How many lines ended in the pieces so far that are less than a file: what a piece behind them adds to its
  // own count.
  std::int64_t piece_lines() const { return piece_lines_; }

 private:
  // A file of JSON records being read.
  struct Records {
    std::unique_ptr<TextReader> reader;
    bool lines;             // one record a line
    std::int64_t line = 0;  // lines before the piece that were read with it: its first is cut
    std::uint64_t end = CorpusPiece::kToEnd;  // no record begins here or behind, counted as the reader does

    std::int64_t Line() const { return reader->line() - line; }
  };

  const CorpusPiece& piece() const { return pieces_[next_piece_ - 1]; }
  std::string path() const { return piece().file.path.string(); }
  std::optional<Document> OpenPiece();  // or sets records_
  void OpenLines(std::uint64_t begin);  // sets records_
  std::optional<Document> ReadWhole(TextReader& reader);
  std::optional<Document> NextRecord();
  void CloseFile();
  void Skip(SkippedParts& parts, SkipNote note);
  void SkipAt(SkippedParts& parts, std::int64_t line, std::string_view why);  // in this piece

  CorpusOptions options_;
  std::vector<CorpusPiece> pieces_;
  std::size_t next_piece_ = 0;
  std::uint64_t total_bytes_ = 0, finished_bytes_ = 0;
  std::int64_t piece_lines_ = 0;
  std::optional<Records> records_;
  std::string record_;
  CorpusSkips skips_;
};

}  // namespace longspan
