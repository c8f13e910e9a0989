// Corpora: files and folders of text, read as a stream of documents.
//
//   .jsonl, .jsonl.zst   one JSON object a line, its text in one field (RedPajama's shape: text, meta, ...)
//   any other text file  one document (.txt, .md, .pod, ...; .zst on top is fine)
//   a folder             its files, recursively, in the order of their names
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace longspan {

struct Document {
  std::string text;
  std::string source;  // "path:line" or "path"
};

struct CorpusOptions {
  std::string text_field = "text";
  bool strict = false;  // a line or file that cannot be used is an error, rather than counted and passed over
  std::uint64_t max_document_bytes = std::uint64_t{64} << 20;  // of a line or file; bounds the memory in use
};

// What was passed over.
struct CorpusSkips {
  std::int64_t lines = 0;  // JSON lines: malformed, too long, or without the text field
  std::int64_t files = 0;  // binary files found in folders, and files over the limit
  std::string first;       // where and why, for the first of them
};

class Corpus {
 public:
  // Error(kIo) where an input is missing.
  Corpus(const std::vector<std::filesystem::path>& inputs, CorpusOptions options);
  ~Corpus();
  Corpus(const Corpus&) = delete;
  Corpus& operator=(const Corpus&) = delete;

  // The next document, or nothing at the end.
  std::optional<Document> Next();

  const CorpusSkips& skips() const { return skips_; }
  std::uint64_t total_bytes() const { return total_bytes_; }  // as stored
  std::uint64_t read_bytes() const;

 private:
  class Lines;
  struct Parser;
  struct File {
    std::filesystem::path path;
    std::uint64_t bytes;
    bool named;  // given by the user rather than found in a folder
  };

  std::optional<Document> NextLine();
  std::optional<Document> WholeFile(const File& file);
  void AddFolder(const std::filesystem::path& folder);
  void AddFile(const std::filesystem::path& path, bool named);
  void Skip(std::int64_t& count, std::string reason);

  CorpusOptions options_;
  std::vector<File> files_;
  std::size_t next_file_ = 0;
  std::uint64_t total_bytes_ = 0, finished_bytes_ = 0;
  std::unique_ptr<Lines> lines_;  // the .jsonl file being read, if one is
  std::unique_ptr<Parser> parser_;
  CorpusSkips skips_;
};

// Calls `visit` with each document in turn until it returns false.
CorpusSkips ForEachDocument(const std::vector<std::filesystem::path>& inputs, const CorpusOptions& options,
                            const std::function<bool(Document)>& visit);

}  // namespace longspan
