#include "release/stages.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/temporary.h"
#include "release/checksums.h"
#include "release/leftovers.h"
#include "release/record_file.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr int kVersion = 2;
constexpr const char* kRecords = "stages.json";
constexpr const char* kDigests = "digests.sqlite3";

bool Exists(const fs::path& path) {
  std::error_code error;  // a link that is broken or leads to itself is no file
  return fs::exists(path, error);
}

// What a first run may have left before it wrote its record.
bool IsOwnFile(const std::string& name) {
  return name == kLockFile || name.starts_with(kDigests) ||
         (name.starts_with(kRecords) && IsTemporaryName(name));
}

void CheckIsWorkFolder(const fs::path& work) {
  for (const auto& entry : fs::directory_iterator(work)) {
    const std::string name = entry.path().filename().string();
    if (IsOwnFile(name)) continue;
    Fail(ErrorKind::kBadOption,
         "{}: expected an empty folder or one with {}, found '{}' alone; without the record nothing says "
         "which "
         "stages are done: move the folder away to begin anew, or name another release.out",
         work.string(), kRecords, name);
  }
}

bool HasFiles(const fs::path& folder) {
  std::error_code absent;
  return fs::directory_iterator(folder, absent) != fs::directory_iterator();
}

double MegabytesBelow(const fs::path& folder) {
  double bytes = 0;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (entry.is_regular_file(error)) bytes += static_cast<double>(entry.file_size(error));
  }
  return bytes / 1e6;
}

}  // namespace

std::set<std::string> StagesDone(const fs::path& work) {
  std::set<std::string> names;
  if (!Exists(work / kRecords)) return names;
  try {
    ReadRecord(work / kRecords, kVersion, {"which stages are done", ""}, [&](const json& state) {
      for (const auto& [name, record] : state.at("stages").items()) {
        if (record.contains("done")) names.insert(name);
      }
    });
  } catch (const Error&) {
    return {};
  }
  return names;
}

StageRunner::StageRunner(fs::path work, Progress& progress)
    : work_(std::move(work)), progress_(progress), lock_(work_) {
  Load();
  RemoveLeftovers(work_);
  digests_ = std::make_unique<FileDigests>(work_ / kDigests, progress_);
}

void StageRunner::Load() {
  const fs::path file = work_ / kRecords;
  if (!Exists(file)) {
    CheckIsWorkFolder(work_);
    Save();  // from here on the folder is known as the job's own
    return;
  }
  const auto read = [](const json& value) {
    Attempt attempt{value.at("fingerprint"), value.at("seconds"), {}};
    for (const json& output : value.at("outputs")) {
      attempt.outputs.push_back({output.at("path"), output.at("sha256")});
    }
    return attempt;
  };
  const std::string instead = fmt::format(
      "move {} and the release folder away, and every stage runs again from the start", work_.string());
  ReadRecord(file, kVersion, {"which stages are done", instead}, [&](const json& state) {
    for (const auto& [name, value] : state.at("stages").items()) {
      Record& record = records_[name];
      for (const auto& [key, attempt] : value.get_ref<const json::object_t&>()) {
        if (key == "done") record.done = read(attempt);
        if (key == "running") record.running = read(attempt);
      }
    }
  });
}

void StageRunner::Save() const {
  const auto write = [](const Attempt& attempt) {
    json outputs = json::array();
    for (const Output& output : attempt.outputs) {
      outputs.push_back({{"path", output.path}, {"sha256", output.digest}});
    }
    return json{{"fingerprint", attempt.fingerprint}, {"seconds", attempt.seconds}, {"outputs", outputs}};
  };
  json stages = json::object();
  for (const auto& [name, record] : records_) {
    json& stage = stages[name] = json::object();
    if (record.done) stage["done"] = write(*record.done);
    if (record.running) stage["running"] = write(*record.running);
  }
  WriteRecord(work_ / kRecords, kVersion, {{"stages", stages}});
}

std::string StageRunner::Fingerprint(const StageInputs& inputs) {
  // The size precedes each text, so that no two different lists give the same bytes.
  Sha256 digest;
  digest.Update(fmt::format("version {}\n", inputs.version));
  for (const std::string& value : inputs.values) digest.Update(fmt::format("{}:{};", value.size(), value));
  digest.Update("\n");
  for (const fs::path& file : inputs.files) digest.Update(digests_->Of(file) + ";");
  return digest.Hex();
}

std::optional<std::string> StageRunner::Stale(const Record& record, const std::string& fingerprint,
                                              const std::vector<fs::path>& outputs) {
  if (!record.done) return record.running ? "it was interrupted with nothing saved" : "it never ran";
  const Attempt& done = *record.done;
  if (done.fingerprint != fingerprint) return "its inputs changed";
  if (done.outputs.size() != outputs.size()) return "its outputs changed";
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string name = outputs[i].lexically_relative(work_).generic_string();
    if (done.outputs[i].path != name) return "its outputs changed";
    if (!Exists(outputs[i])) return fmt::format("{} is missing", outputs[i].string());
    if (digests_->Of(outputs[i]) != done.outputs[i].digest)
      return fmt::format("{} was changed", outputs[i].string());
  }
  return std::nullopt;
}

fs::path StageRunner::ScratchOf(std::string_view name, std::string_view fingerprint) const {
  return work_ / "scratch" / fmt::format("{}-{}", name, fingerprint.substr(0, 16));
}

void StageRunner::EnterScratch(std::string_view name, std::string_view fingerprint) {
  scratch_ = ScratchOf(name, fingerprint);
  const std::string prefix = fmt::format("{}-", name);
  fs::create_directories(scratch_);
  for (const auto& entry : fs::directory_iterator(scratch_.parent_path())) {
    const std::string other = entry.path().filename().string();
    if (!other.starts_with(prefix) || other.size() != scratch_.filename().string().size()) continue;
    if (entry.path() == scratch_) continue;
    progress_.Message(
        fmt::format("{}: {} ({:.1f} MB) is kept, checkpoints of other settings; with those settings the job "
                    "goes on from them; remove the folder if they are not wanted",
                    name, entry.path().string(), MegabytesBelow(entry.path())));
  }
}

bool StageRunner::Run(std::string_view name, const StageInputs& inputs, const std::vector<fs::path>& outputs,
                      const std::function<void()>& body) {
  for (const fs::path& file : inputs.files) {
    if (!Exists(file)) Fail(ErrorKind::kIo, "{}: needed by stage '{}', but missing", file.string(), name);
  }
  const std::string fingerprint = Fingerprint(inputs);
  const auto known = records_.find(name);
  const Record earlier = known == records_.end() ? Record() : known->second;
  const auto stale = Stale(earlier, fingerprint, outputs);
  digests_->Save();
  if (!stale) {
    fs::remove_all(ScratchOf(name, fingerprint));  // left by a process that was killed at the very end
    progress_.Message(fmt::format("{}: up to date", name));
    return false;
  }
  if (known != records_.end()) {
    progress_.Message(HasFiles(ScratchOf(name, fingerprint))
                          ? fmt::format("{}: goes on from its checkpoint", name)
                          : fmt::format("{}: runs again, because {}", name, *stale));
  }

  Record& record = records_[std::string(name)];
  if (!record.running || record.running->fingerprint != fingerprint) {
    record.running = Attempt{fingerprint, 0, {}};
  }
  record.running->outputs.clear();
  Save();
  EnterScratch(name, fingerprint);

  const Clock::time_point start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  try {
    body();
  } catch (...) {
    record.running->seconds += elapsed();
    try {
      Save();
    } catch (const Error&) {  // what stopped the stage is what matters
    }
    throw;
  }
  record.running->seconds += elapsed();
  for (const fs::path& output : outputs) {
    if (!Exists(output))
      Fail(ErrorKind::kInternal, "stage '{}' ended without writing {}", name, output.string());
    record.running->outputs.push_back(
        {output.lexically_relative(work_).generic_string(), digests_->Of(output)});
  }
  record.done = std::exchange(record.running, std::nullopt);
  digests_->Save();
  Save();
  fs::remove_all(scratch_);
  return true;
}

double StageRunner::Seconds(std::string_view name) const {
  const auto found = records_.find(name);
  return found != records_.end() && found->second.done ? found->second.done->seconds : 0;
}

}  // namespace longspan
