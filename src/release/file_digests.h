// SHA-256 digests of files, remembered from run to run: a file whose size, times and inode are as they were
// is not read again.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/progress.h"

struct sqlite3;
struct sqlite3_stmt;

namespace longspan {

// Kept in an SQLite database, so that a million files cost no more to open than one, and a new digest no more
// than a row. It holds nothing that cannot be computed again: a database that is damaged or of another
// version is replaced, and `progress` is told. One process at a time, one thread.
class FileDigests {
 public:
  FileDigests(std::filesystem::path database, Progress& progress);  // Error(kIo)
  ~FileDigests();
  FileDigests(const FileDigests&) = delete;
  FileDigests& operator=(const FileDigests&) = delete;

  // The digest of a file's contents, or of the names and contents of all regular files below a folder. Links
  // to files are followed, links to folders below `path` are not. Error(kIo) for anything else.
  std::string Of(const std::filesystem::path& path);
  // Whether Of(path) would read no file.
  bool Knows(const std::filesystem::path& path);
  // Says that `path` has this digest: for a file that was just renamed, because renaming changes its times.
  void Remember(const std::filesystem::path& path, std::string_view digest);

  // Digests are committed every few seconds; this commits the rest.
  void Save();

 private:
  using Clock = std::chrono::steady_clock;
  struct CloseDatabase {
    void operator()(sqlite3* database) const;
  };
  struct FinalizeStatement {
    void operator()(sqlite3_stmt* statement) const;
  };
  using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

  bool TryOpen();  // false where the file is no database of ours; why is then in `fault_`
  void Execute(const char* sql);
  Statement Prepare(const char* sql);
  [[noreturn]] void FailDatabase() const;

  std::optional<std::string> Find(const std::filesystem::path& path, std::string_view stamp);
  void Store(const std::filesystem::path& path, std::string_view stamp, std::string_view digest);
  std::string OfFile(const std::filesystem::path& path);

  std::filesystem::path path_;
  Progress& progress_;
  std::string fault_;
  std::unique_ptr<sqlite3, CloseDatabase> database_;
  Statement find_, store_;
  std::optional<Clock::time_point> changed_;  // since when rows wait to be committed
};

}  // namespace longspan
