#include "release/output_folder.h"

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "base/temporary.h"
#include "release/checksums.h"
#include "release/record_file.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kVersion = 1;
constexpr std::size_t kShown = 5;  // files that a message names

fs::file_type TypeOf(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type();
}

fs::path Resolved(const fs::path& path) {
  std::error_code error;
  fs::path resolved = fs::weakly_canonical(path, error);
  if (error) Fail(ErrorKind::kIo, "{}: cannot be resolved: {}", path.string(), error.message());
  return resolved;
}

std::string Shown(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kShown; ++i) text += (i > 0 ? ", " : "") + names[i];
  return names.size() > kShown ? fmt::format("{} and {} more", text, names.size() - kShown) : text;
}

// Moves a file; copies it where the two places are on different file systems.
void Rename(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to.parent_path(), error);
  if (error) Fail(ErrorKind::kIo, "{}: cannot create folder: {}", to.parent_path().string(), error.message());
  fs::rename(from, to, error);
  if (error == std::errc::cross_device_link) {
    CopyFile(from, to);
    fs::remove(from, error);
    return;
  }
  if (error)
    Fail(ErrorKind::kIo, "{}: cannot be moved to {}: {}", from.string(), to.string(), error.message());
}

}  // namespace

void CopyFile(const fs::path& from, const fs::path& to) {
  constexpr std::size_t kPiece = std::size_t{16} << 20;
  const auto source = MappedFile::Open(from);
  AtomicFile copy(to);
  for (std::size_t at = 0; at < source->bytes().size(); at += kPiece) {
    const auto piece = source->bytes().subspan(at, std::min(kPiece, source->bytes().size() - at));
    ThrowIfCancelled();
    copy.Write(piece);
    source->Release(piece);
  }
  copy.Commit();
}

OutputFolder::OutputFolder(fs::path folder, fs::path work, JobName job, OutputPolicy policy,
                           FileDigests& digests, Progress& progress)
    : folder_(std::move(folder)),
      staging_(work / "staging"),
      record_(work / "release.json"),
      job_({Resolved(job.recipe), std::move(job.release)}),
      policy_(policy),
      digests_(digests),
      progress_(progress) {
  Load();
}

void OutputFolder::Load() {
  if (TypeOf(record_) == fs::file_type::not_found) return;
  const std::string instead =
      fmt::format("move {} and {} away to begin anew", folder_.string(), record_.parent_path().string());
  ReadRecord(record_, kVersion, {"which files of the release folder this job made", instead},
             [&](const json& record) {
               const std::string recipe = record.at("recipe"), release = record.at("release");
               record.at("files").get_to(files_);
               record.at("moving").get_to(moving_);
               std::error_code gone;
               if (recipe == job_.recipe.string() || release == job_.release || !fs::exists(recipe, gone))
                 return;
               Fail(ErrorKind::kBadOption,
                    "{}: belongs to another job, {} of {}; name another release.out, or move {} and {} away",
                    folder_.string(), release, recipe, folder_.string(), record_.parent_path().string());
             });
}

void OutputFolder::Save() const {
  WriteRecord(
      record_, kVersion,
      {{"recipe", job_.recipe.string()}, {"release", job_.release}, {"files", files_}, {"moving", moving_}});
}

OutputFolder::State OutputFolder::StateOf(const std::string& name) {
  const fs::path path = folder_ / name;
  const fs::file_type type = TypeOf(path);
  if (type == fs::file_type::not_found) return State::kAbsent;
  const auto recorded = files_.find(name);
  if (recorded == files_.end()) return State::kInTheWay;
  const bool same = type == fs::file_type::regular && digests_.Of(path) == recorded->second;
  return same ? State::kOurs : State::kChanged;
}

// Finds out how far a killed process got. A file that it was about to move is here with its new digest, or is
// not.
void OutputFolder::Settle() {
  if (moving_.empty()) return;
  for (const auto& [name, digest] : moving_) {
    const fs::path path = folder_ / name;
    if (TypeOf(path) == fs::file_type::regular && digests_.Of(path) == digest) files_[name] = digest;
    // A copy that was cut off, where the two folders are on different file systems.
    std::error_code error;
    std::vector<fs::path> cut_off;
    const std::string beginning = path.filename().string() + ".";
    for (const auto& entry : fs::directory_iterator(path.parent_path(), error)) {
      const std::string found = entry.path().filename().string();
      if (found.starts_with(beginning) && IsTemporaryName(found)) cut_off.push_back(entry.path());
    }
    for (const fs::path& copy : cut_off) fs::remove(copy, error);
  }
  moving_.clear();
  Save();
}

// What is neither recorded, nor one of `names`, nor the recipe; folders without anything of ours as one
// entry.
std::vector<std::string> OutputFolder::Foreign(const std::set<std::string>& names,
                                               std::span<const std::string> whole_folders) const {
  const auto is_ours = [&](const std::string& name) { return files_.contains(name) || names.contains(name); };
  const auto holds_ours = [&](const std::string& folder) {
    const auto name = names.lower_bound(folder);
    const auto file = files_.lower_bound(folder);
    return (name != names.end() && name->starts_with(folder)) ||
           (file != files_.end() && file->first.starts_with(folder)) ||
           std::ranges::any_of(whole_folders,
                               [&](const std::string& whole) { return folder == whole + "/"; });
  };
  const auto is_recipe = [&](const fs::path& path) {
    return path.filename() == job_.recipe.filename() && Resolved(path) == job_.recipe;
  };
  std::vector<std::string> foreign;
  try {
    for (auto entry = fs::recursive_directory_iterator(folder_); entry != fs::end(entry); ++entry) {
      const fs::path& path = entry->path();
      const std::string name = path.lexically_relative(folder_).generic_string();
      const fs::file_type type = TypeOf(path);
      if (holds_ours(name + "/")) {
        if (type == fs::file_type::directory) continue;
        Fail(ErrorKind::kBadOption, "{}: expected a folder, found a {}; move it away", path.string(),
             type == fs::file_type::symlink ? "link" : "file");
      }
      if (type == fs::file_type::directory) {
        if (names.contains(name))
          Fail(ErrorKind::kBadOption, "{}: expected a file, found a folder; move it away", path.string());
        entry.disable_recursion_pending();
        foreign.push_back(name + "/");
      } else if (!is_ours(name) && !is_recipe(path)) {
        foreign.push_back(name);
      }
    }
  } catch (const fs::filesystem_error& error) {
    Fail(ErrorKind::kIo, "{}: cannot list the folder: {}", folder_.string(), error.code().message());
  }
  std::ranges::sort(foreign);
  return foreign;
}

void OutputFolder::CheckWholeFolders(std::span<const std::string> foreign,
                                     std::span<const std::string> whole_folders) const {
  for (const std::string& whole : whole_folders) {
    std::vector<std::string> inside;
    for (const std::string& name : foreign) {
      if (name.starts_with(whole + "/")) inside.push_back(name);
    }
    if (inside.empty()) continue;
    Fail(ErrorKind::kBadOption,
         "{}: is to hold what this job makes and nothing else, found {}; move it away, or name another "
         "release.out",
         Path(whole).string(), Shown(inside));
  }
}

void OutputFolder::Check(std::span<const std::string> names, std::span<const std::string> whole_folders) {
  std::error_code error;
  if (TypeOf(folder_) != fs::file_type::not_found && !fs::is_directory(folder_, error)) {
    Fail(ErrorKind::kBadOption, "{}: expected a folder to release to, found {}; name another release.out",
         folder_.string(),
         TypeOf(folder_) == fs::file_type::symlink ? "a link that leads to no folder" : "a file");
  }
  Settle();
  if (TypeOf(folder_) == fs::file_type::not_found) return;

  std::set<std::string> known(names.begin(), names.end());
  const std::vector<std::string> foreign = Foreign(known, whole_folders);
  CheckWholeFolders(foreign, whole_folders);
  for (const auto& [name, digest] : files_) known.insert(name);
  std::vector<std::string> in_the_way, changed;
  for (const std::string& name : known) {
    const State state = StateOf(name);
    if (state == State::kInTheWay) in_the_way.push_back(name);
    if (state == State::kChanged) changed.push_back(name);
  }
  if (!foreign.empty() && !policy_.keep_foreign) {
    Fail(ErrorKind::kBadOption,
         "{}: holds what this job did not make: {}; move it away, name another release.out, or give "
         "--keep-foreign to go on beside it",
         folder_.string(), Shown(foreign));
  }
  if (!in_the_way.empty() && !policy_.force) {
    Fail(ErrorKind::kBadOption,
         "{}: this job is to write {}, which is there and in no record of the job; move it away, or give "
         "--force to replace it",
         folder_.string(), Shown(in_the_way));
  }
  if (!changed.empty() && !policy_.force) {
    Fail(ErrorKind::kBadOption,
         "{}: changed since this job wrote it: {}; keep a copy elsewhere and remove it here, or give --force "
         "to "
         "write it again",
         folder_.string(), Shown(changed));
  }
}

void OutputFolder::Publish(std::span<const std::string> names) {
  for (const std::string& name : names) {
    const State state = StateOf(name);
    if ((state == State::kInTheWay || state == State::kChanged) && !policy_.force) {
      Fail(ErrorKind::kBadOption, "{}: appeared or changed while this job ran; move it away, and run again",
           Path(name).string());
    }
  }
  for (const std::string& name : names) moving_[name] = digests_.Of(staging_ / name);
  Save();
  for (const std::string& name : names) {
    Rename(staging_ / name, Path(name));
    digests_.Remember(Path(name), moving_.at(name));
    files_[name] = moving_.at(name);
  }
  moving_.clear();
  Save();
}

fs::path OutputFolder::StageFolder(const std::string& folder) const {
  fs::path staged = staging_ / folder;
  std::error_code error;
  fs::remove_all(staged, error);
  if (error) Fail(ErrorKind::kIo, "{}: cannot be removed: {}", staged.string(), error.message());
  return staged;
}

void OutputFolder::PublishFolder(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(staging_ / folder)) {
    if (entry.is_regular_file()) names.push_back(entry.path().lexically_relative(staging_).generic_string());
  }
  std::ranges::sort(names);
  Publish(names);
  for (const auto& [name, digest] : files_) {
    if (!name.starts_with(folder + "/")) names.push_back(name);
  }
  RemoveAllBut(names);
}

void OutputFolder::RemoveAllBut(std::span<const std::string> names) {
  std::vector<std::string> stale;
  for (const auto& [name, digest] : files_) {
    if (std::ranges::find(names, name) == names.end()) stale.push_back(name);
  }
  for (const std::string& name : stale) {
    const State state = StateOf(name);
    std::error_code error;
    if (state == State::kOurs) {
      fs::remove(Path(name), error);
      if (error) Fail(ErrorKind::kIo, "{}: cannot be removed: {}", Path(name).string(), error.message());
      progress_.Message(fmt::format("{}: removed, because this job no longer makes it", Path(name).string()));
      if (Path(name).parent_path() != folder_)
        fs::remove(Path(name).parent_path(), error);  // where empty now
    } else if (state == State::kChanged) {
      progress_.Message(
          fmt::format("{}: no longer made, but changed since it was written; left as it is, for you to move",
                      Path(name).string()));
    }
    files_.erase(name);
  }
  if (!stale.empty()) Save();
}

std::map<std::string, std::string> OutputFolder::Digests() const {
  auto digests = files_;
  digests.erase(std::string(kChecksumsFile));
  return digests;
}

}  // namespace longspan
