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
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/input_stream.h"
#include "data/skips.h"
#include "data/text_reader.h"

namespace longspan {

struct Document {
  std::string text;
  std::string source;  // "path:line" or "path"
};

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
  // Error(kIo) where an input is missing, Error(kBadOption) where two inputs have a file in common.
  Corpus(const std::vector<std::filesystem::path>& inputs, CorpusOptions options);

  // The next document, or nothing at the end.
  std::optional<Document> Next();

  // Counts a document as skipped after all, because nothing could be made of it. Throws where strict.
  void SkipDocument(const Document& document, const std::string& why);

  const CorpusSkips& skips() const { return skips_; }
  std::uint64_t total_bytes() const { return total_bytes_; }  // as stored
  std::uint64_t read_bytes() const;

 private:
  struct File {
    std::filesystem::path path;
    std::uint64_t bytes;
    bool named;  // given by the user rather than found in a folder
  };
  // A file of JSON records being read.
  struct Records {
    std::unique_ptr<TextReader> reader;
    bool lines;  // one record a line
  };

  void AddFolder(const std::filesystem::path& folder);
  void AddFile(const std::filesystem::path& path, bool named);
  const File& file() const { return files_[next_file_ - 1]; }
  std::optional<Document> OpenFile();  // or sets records_
  std::optional<Document> ReadWhole(TextReader& reader);
  std::optional<Document> NextRecord();
  void CloseFile();
  void Skip(SkippedParts& parts, std::string why);

  CorpusOptions options_;
  std::vector<File> files_;
  std::size_t next_file_ = 0;
  // While files are collected: the input that they belong to, and those of all files so far, by device and
  // number. A file of two inputs would count twice.
  const std::filesystem::path* input_ = nullptr;
  std::map<std::pair<std::uint64_t, std::uint64_t>, const std::filesystem::path*> inputs_of_files_;
  std::uint64_t total_bytes_ = 0, finished_bytes_ = 0;
  std::optional<Records> records_;
  std::string record_;
  CorpusSkips skips_;
};

}  // namespace longspan
