#include "release/stages.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "release/checksums.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr int kVersion = 1;
constexpr std::uint64_t kMaxState = 64 << 20;

// Text joined so that no two different lists give the same result.
void AppendField(std::string& text, std::string_view field) {
  text += fmt::format("{}:{};", field.size(), field);
}

// Changes whenever the file's contents do: writing sets both times, and ctime cannot be set back.
std::string Stamp(const fs::path& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0)
    Fail(ErrorKind::kIo, "{}: cannot stat: {}", path.string(), std::strerror(errno));
  return fmt::format("{} {}.{:09} {}.{:09} {}", info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                     info.st_ctim.tv_sec, info.st_ctim.tv_nsec, info.st_ino);
}

}  // namespace

// Held while the runner lives; the system lets go of it even when the process is killed.
class StageRunner::Lock {
 public:
  explicit Lock(const fs::path& path) : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (fd_ < 0) Fail(ErrorKind::kIo, "{}: cannot open: {}", path.string(), std::strerror(errno));
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      ::close(fd_);
      Fail(ErrorKind::kIo, "{}: another longspan is at work in this folder", path.parent_path().string());
    }
  }
  ~Lock() { ::close(fd_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int fd_;
};

StageRunner::StageRunner(fs::path work, Progress& progress) : work_(std::move(work)), progress_(progress) {
  std::error_code error;
  fs::create_directories(work_, error);
  if (error) Fail(ErrorKind::kIo, "{}: cannot create folder: {}", work_.string(), error.message());
  lock_ = std::make_unique<Lock>(work_ / ".lock");
  Load();
}

StageRunner::~StageRunner() = default;

void StageRunner::Load() {
  const fs::path file = work_ / "stages.json";
  if (!fs::exists(file)) return;
  try {
    const json state = json::parse(ReadFile(file, kMaxState));
    if (state.at("version") != kVersion) throw std::runtime_error("written by another version");
    std::map<std::string, Record, std::less<>> records;
    for (const auto& [name, value] : state.at("stages").items()) {
      Record record{value.at("fingerprint"), value.at("finished"), value.at("seconds"), {}};
      for (const json& output : value.at("outputs"))
        record.outputs.push_back({output.at("path"), output.at("sha256")});
      records.emplace(name, std::move(record));
    }
    std::map<std::string, FileDigest, std::less<>> digests;
    for (const auto& [path, value] : state.at("files").items())
      digests[path] = {value.at("stamp"), value.at("sha256")};
    records_ = std::move(records);
    digests_ = std::move(digests);
  } catch (const std::exception& error) {
    progress_.Message(
        fmt::format("{}: unreadable ({}); every stage runs again", file.string(), error.what()));
  }
}

void StageRunner::Save() const {
  json state = {{"version", kVersion}, {"stages", json::object()}, {"files", json::object()}};
  for (const auto& [name, record] : records_) {
    json outputs = json::array();
    for (const Output& output : record.outputs)
      outputs.push_back({{"path", output.path}, {"sha256", output.digest}});
    state["stages"][name] = {{"fingerprint", record.fingerprint},
                             {"finished", record.finished},
                             {"seconds", record.seconds},
                             {"outputs", outputs}};
  }
  for (const auto& [path, file] : digests_)
    state["files"][path] = {{"stamp", file.stamp}, {"sha256", file.digest}};
  WriteFile(work_ / "stages.json", state.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

std::string StageRunner::DigestFile(const fs::path& path) {
  const std::string key = fs::absolute(path).lexically_normal().string();
  const std::string stamp = Stamp(path);
  const auto known = digests_.find(key);
  if (known != digests_.end() && known->second.stamp == stamp) return known->second.digest;
  const std::string digest = Sha256File(path);
  digests_[key] = {stamp, digest};
  return digest;
}

std::string StageRunner::Digest(const fs::path& path) {
  if (!fs::is_directory(path)) return DigestFile(path);
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  std::string tree = "folder;";
  for (const fs::path& file : files) {
    AppendField(tree, file.lexically_relative(path).generic_string());
    AppendField(tree, DigestFile(file));
  }
  return Sha256Text(tree);
}

std::string StageRunner::Fingerprint(const StageInputs& inputs) {
  std::string text;
  for (const std::string& value : inputs.values) AppendField(text, value);
  text += '\n';
  for (const fs::path& file : inputs.files) AppendField(text, Digest(file));
  return Sha256Text(text);
}

std::optional<std::string> StageRunner::Stale(const Record* record, const std::string& fingerprint,
                                              const std::vector<fs::path>& outputs) {
  if (record == nullptr) return "never run";
  if (record->fingerprint != fingerprint) return "its inputs changed";
  if (!record->finished) return "it was interrupted";
  if (record->outputs.size() != outputs.size()) return "its outputs changed";
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string name = outputs[i].lexically_relative(work_).generic_string();
    if (record->outputs[i].path != name) return "its outputs changed";
    if (!fs::exists(outputs[i])) return fmt::format("{} is missing", outputs[i].string());
    if (Digest(outputs[i]) != record->outputs[i].digest)
      return fmt::format("{} was changed", outputs[i].string());
  }
  return std::nullopt;
}

bool StageRunner::Run(std::string_view name, const StageInputs& inputs, const std::vector<fs::path>& outputs,
                      const std::function<void()>& body) {
  for (const fs::path& file : inputs.files) {
    if (!fs::exists(file)) Fail(ErrorKind::kIo, "{}: needed by stage '{}', but missing", file.string(), name);
  }
  const std::string fingerprint = Fingerprint(inputs);
  const auto found = records_.find(name);
  const auto stale = Stale(found == records_.end() ? nullptr : &found->second, fingerprint, outputs);
  if (!stale) {
    progress_.Message(fmt::format("{}: up to date", name));
    Save();  // digests taken on the way
    return false;
  }
  if (found != records_.end()) progress_.Message(fmt::format("{}: runs again, for {}", name, *stale));

  Record& record = records_[std::string(name)];
  const bool resumes = record.fingerprint == fingerprint && !record.finished;
  if (!resumes) {
    fs::remove_all(Scratch(name));
    record = {fingerprint, false, 0, {}};
  }
  // From here until the end the record says "unfinished", so a kill at any point makes the stage run again.
  record.outputs.clear();
  Save();
  fs::create_directories(Scratch(name));

  const Clock::time_point start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  try {
    body();
  } catch (...) {
    record.seconds += elapsed();
    Save();
    throw;
  }
  record.seconds += elapsed();
  for (const fs::path& output : outputs) {
    if (!fs::exists(output))
      Fail(ErrorKind::kInternal, "stage '{}' ended without writing {}", name, output.string());
    record.outputs.push_back({output.lexically_relative(work_).generic_string(), Digest(output)});
  }
  record.finished = true;
  Save();
  fs::remove_all(Scratch(name));
  return true;
}

fs::path StageRunner::Scratch(std::string_view name) const { return work_ / "scratch" / name; }

double StageRunner::Seconds(std::string_view name) const {
  const auto found = records_.find(name);
  return found != records_.end() && found->second.finished ? found->second.seconds : 0;
}

}  // namespace longspan
