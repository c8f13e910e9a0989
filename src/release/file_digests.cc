#include "release/file_digests.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "release/checksums.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr int kVersion = 1;
constexpr std::chrono::seconds kCommitInterval{5};
constexpr std::int64_t kShowProgress = std::int64_t{256} << 20;  // files of so many bytes take seconds

struct stat StatFile(const fs::path& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0)
    Fail(ErrorKind::kIo, "{}: cannot be read: {}", path.string(), std::strerror(errno));
  if (!S_ISREG(info.st_mode)) Fail(ErrorKind::kIo, "{}: expected a file or a folder", path.string());
  return info;
}

// Changes whenever the file's contents do: writing sets both times, and ctime cannot be set back.
std::string Stamp(const struct stat& info) {
  return fmt::format("{} {}.{:09} {}.{:09} {}", info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                     info.st_ctim.tv_sec, info.st_ctim.tv_nsec, info.st_ino);
}

// The system's clock for file times moves in ticks. A file that was written in the tick that still lasts
// could be written again without a change of its times, so this waits until the tick is over.
void WaitUntilTimesTell(const struct stat& info) {
  constexpr int kMostMilliseconds = 50;  // a clock that was set back must not stop us
  for (int i = 0; i < kMostMilliseconds; ++i) {
    struct timespec now;
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
    const auto& written = info.st_ctim;
    if (now.tv_sec != written.tv_sec ? now.tv_sec > written.tv_sec : now.tv_nsec > written.tv_nsec) return;
    ::usleep(1000);
  }
}

// Absolute, so that one database serves commands run from any folder.
std::string KeyOf(const fs::path& path) { return fs::absolute(path).lexically_normal().string(); }

// The regular files below a folder, sorted.
std::vector<fs::path> FilesBelow(const fs::path& folder) {
  std::vector<fs::path> files;
  try {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      std::error_code dangling;
      if (entry.is_regular_file(dangling)) files.push_back(entry.path());
    }
  } catch (const fs::filesystem_error& error) {
    Fail(ErrorKind::kIo, "{}: cannot list the folder: {}", folder.string(), error.code().message());
  }
  std::ranges::sort(files);
  return files;
}

bool IsFolder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

}  // namespace

void FileDigests::CloseDatabase::operator()(sqlite3* database) const { sqlite3_close(database); }
void FileDigests::FinalizeStatement::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

FileDigests::FileDigests(fs::path database, Progress& progress)
    : path_(std::move(database)), progress_(progress) {
  if (!TryOpen()) {
    progress_.Message(fmt::format("{}: {}; files are read and digested again", path_.string(), fault_));
    find_.reset();
    store_.reset();
    database_.reset();
    std::error_code error;
    for (const char* suffix : {"", "-journal"}) fs::remove(path_.string() + suffix, error);
    if (!TryOpen()) FailDatabase();
  }
}

FileDigests::~FileDigests() {
  if (changed_) sqlite3_exec(database_.get(), "COMMIT", nullptr, nullptr, nullptr);
}

bool FileDigests::TryOpen() {
  sqlite3* database = nullptr;
  const int status =
      sqlite3_open_v2(path_.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  database_.reset(database);
  if (status != SQLITE_OK) {
    fault_ = sqlite3_errmsg(database);
    return false;
  }
  try {
    Execute("PRAGMA locking_mode = EXCLUSIVE");  // otherwise every query would lock and unlock the file
    int version = 0;
    const Statement ask = Prepare("PRAGMA user_version");
    if (sqlite3_step(ask.get()) == SQLITE_ROW) version = sqlite3_column_int(ask.get(), 0);
    if (version != 0 && version != kVersion) {
      fault_ = fmt::format("a database of version {}, expected {}", version, kVersion);
      return false;
    }
    if (version == 0) {
      Execute(fmt::format(
                  "BEGIN; CREATE TABLE files(path BLOB PRIMARY KEY, stamp TEXT, digest TEXT) WITHOUT ROWID; "
                  "PRAGMA user_version = {}; COMMIT",
                  kVersion)
                  .c_str());
    }
    find_ = Prepare("SELECT stamp, digest FROM files WHERE path = ?");
    store_ = Prepare("INSERT OR REPLACE INTO files VALUES (?, ?, ?)");
  } catch (const Error&) {
    fault_ = fmt::format("no database of digests ({})", sqlite3_errmsg(database));
    return false;
  }
  return true;
}

void FileDigests::FailDatabase() const {
  Fail(ErrorKind::kIo, "{}: {}; it only remembers digests of files, and can be removed", path_.string(),
       sqlite3_errmsg(database_.get()));
}

void FileDigests::Execute(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) FailDatabase();
}

FileDigests::Statement FileDigests::Prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database_.get(), sql, -1, &statement, nullptr) != SQLITE_OK) FailDatabase();
  return Statement(statement);
}

std::optional<std::string> FileDigests::Find(const fs::path& path, std::string_view stamp) {
  const std::string key = KeyOf(path);
  sqlite3_bind_blob64(find_.get(), 1, key.data(), key.size(), SQLITE_STATIC);
  const int status = sqlite3_step(find_.get());
  std::optional<std::string> digest;
  if (status == SQLITE_ROW) {
    const auto text = [&](int column) {
      const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(find_.get(), column));
      return data == nullptr ? std::string_view() : std::string_view(data);
    };
    if (text(0) == stamp) digest = text(1);
  }
  sqlite3_reset(find_.get());
  if (status != SQLITE_ROW && status != SQLITE_DONE) FailDatabase();
  return digest;
}

void FileDigests::Store(const fs::path& path, std::string_view stamp, std::string_view digest) {
  if (!changed_) {
    Execute("BEGIN");
    changed_ = Clock::now();
  }
  const std::string key = KeyOf(path);
  sqlite3_bind_blob64(store_.get(), 1, key.data(), key.size(), SQLITE_STATIC);
  sqlite3_bind_text64(store_.get(), 2, stamp.data(), stamp.size(), SQLITE_STATIC, SQLITE_UTF8);
  sqlite3_bind_text64(store_.get(), 3, digest.data(), digest.size(), SQLITE_STATIC, SQLITE_UTF8);
  const int status = sqlite3_step(store_.get());
  sqlite3_reset(store_.get());
  if (status != SQLITE_DONE) FailDatabase();
  if (Clock::now() - *changed_ > kCommitInterval) Save();
}

void FileDigests::Save() {
  if (!changed_) return;
  Execute("COMMIT");
  changed_.reset();
}

std::string FileDigests::OfFile(const fs::path& path) {
  const struct stat info = StatFile(path);
  // The stamp is from before the reading: a file that changes meanwhile does not match it later.
  const std::string stamp = Stamp(info);
  if (auto known = Find(path, stamp)) return *known;
  WaitUntilTimesTell(info);
  const std::string digest = Sha256File(path, info.st_size >= kShowProgress ? progress_ : NoProgress());
  Store(path, stamp, digest);
  return digest;
}

void FileDigests::Remember(const fs::path& path, std::string_view digest) {
  const struct stat info = StatFile(path);
  WaitUntilTimesTell(info);
  Store(path, Stamp(info), digest);
}

std::string FileDigests::Of(const fs::path& path) {
  if (!IsFolder(path)) return OfFile(path);
  // The size precedes each text, so that no two different trees give the same bytes.
  Sha256 tree;
  tree.Update("folder;");
  const auto add = [&](const std::string& field) { tree.Update(fmt::format("{}:{};", field.size(), field)); };
  for (const fs::path& file : FilesBelow(path)) {
    add(file.lexically_relative(path).generic_string());
    add(OfFile(file));
  }
  return tree.Hex();
}

bool FileDigests::Knows(const fs::path& path) {
  const auto knows = [&](const fs::path& file) { return Find(file, Stamp(StatFile(file))).has_value(); };
  return IsFolder(path) ? std::ranges::all_of(FilesBelow(path), knows) : knows(path);
}

}  // namespace longspan
