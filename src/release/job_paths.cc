#include "release/job_paths.h"

#include <glob.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/printable.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

bool IsWithin(const fs::path& path, const fs::path& folder) {
  return std::ranges::mismatch(folder, path).in1 == folder.end();
}

// The paths behind one input: the file or folder of this very name, or else what a pattern matches. A leading
// ~ is the home folder.
std::vector<fs::path> Expand(const fs::path& folder, const std::string& input) {
  std::error_code error;
  if (fs::exists(fs::symlink_status(folder / input, error))) return {folder / input};
  std::string pattern;
  if (!input.starts_with("~") && !input.starts_with("/")) {
    for (const char c : (folder / "").string()) {  // only the input is a pattern
      if (std::string_view("*?[]\\").find(c) != std::string_view::npos) pattern += '\\';
      pattern += c;
    }
  }
  pattern += input;
  std::vector<fs::path> paths;
  glob_t found{};
  if (::glob(pattern.c_str(), GLOB_TILDE, nullptr, &found) == 0) {
    for (std::size_t i = 0; i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
  return paths;
}

}  // namespace

fs::path WorkFolder(const Recipe& recipe) { return recipe.release.out.lexically_normal().string() + ".work"; }

std::vector<fs::path> ResolveInputs(const Recipe& recipe, const std::vector<std::string>& inputs,
                                    std::string_view key) {
  std::vector<fs::path> paths;
  for (const std::string& input : inputs) {
    const std::vector<fs::path> found = Expand(recipe.file.parent_path(), input);
    if (found.empty()) {
      const std::string hint =
          recipe.data.packages.empty() || !key.starts_with("data.")
              ? ""
              : fmt::format("; on Debian, apt-get install {}", fmt::join(recipe.data.packages, " "));
      recipe.places.FailAt(key,
                           fmt::format("no file or folder at {}{}",
                                       Printable((recipe.file.parent_path() / input).string(), 400), hint));
    }
    for (const fs::path& path : found) paths.push_back(ResolvedInput(recipe, key, path));
  }
  // One document must not count twice because a link leads to it too, or because its folder is named as well:
  // it could be trained on and held out at once. A folder comes right before what lies in it.
  std::ranges::sort(paths);
  std::vector<fs::path> once;
  for (fs::path& path : paths) {
    if (once.empty() || !IsWithin(path, once.back())) once.push_back(std::move(path));
  }
  return once;
}

void CheckOutside(const Recipe& recipe, std::string_view key, const fs::path& output,
                  std::span<const fs::path> inputs) {
  std::error_code error;
  if (fs::exists(output, error) && !fs::is_directory(output, error)) {
    recipe.places.FailAt(
        key, fmt::format("{} is a file; write the name of a folder", Printable(output.string(), 400)));
  }
  const fs::path own = fs::weakly_canonical(output, error);
  if (error)
    recipe.places.FailAt(key, fmt::format("{}: {}", Printable(output.string(), 400), error.message()));
  for (const fs::path& input : inputs) {
    const bool holds = IsWithin(input, own);
    if (!holds && !IsWithin(own, input)) continue;
    recipe.places.FailAt(key, fmt::format("{}, which is written, {} an input, {}; write another folder",
                                          Printable(output.string(), 400), holds ? "holds" : "lies within",
                                          Printable(input.string(), 400)));
  }
}

fs::path ResolvedInput(const Recipe& recipe, std::string_view key, const fs::path& input) {
  std::error_code error;
  fs::path resolved = fs::canonical(input, error);
  if (error) {
    const bool absent = error == std::errc::no_such_file_or_directory;
    recipe.places.FailAt(
        key, fmt::format("{}{}{}", absent ? "no file or folder at " : "", Printable(input.string(), 400),
                         absent ? "" : ": " + error.message()));
  }
  return resolved;
}

namespace {

// Text that was trained on says nothing about what was kept.
void CheckUntrained(const Recipe& recipe, std::span<const fs::path> trained,
                    std::span<const fs::path> texts) {
  for (const fs::path& text : texts) {
    for (const fs::path& input : trained) {
      if (!IsWithin(text, input) && !IsWithin(input, text)) continue;
      recipe.places.FailAt("data.retention",
                           fmt::format("{} is trained on, as data.inputs says; name another text",
                                       Printable(text.string(), 400)));
    }
  }
}

}  // namespace

JobPaths CheckedPaths(const Recipe& recipe) {
  JobPaths paths;
  paths.out = recipe.release.out.lexically_normal();
  paths.work = WorkFolder(recipe);
  paths.data = ResolveInputs(recipe, recipe.data.inputs);
  paths.eval = ResolveInputs(recipe, recipe.eval.inputs, "eval.inputs");
  std::vector<fs::path> inputs{ResolvedInput(recipe, "base.model", recipe.base)};
  inputs.insert(inputs.end(), paths.data.begin(), paths.data.end());
  inputs.insert(inputs.end(), paths.eval.begin(), paths.eval.end());
  for (const std::string& entry : recipe.data.retention) {
    const auto& text = paths.retention.emplace_back(ResolveInputs(recipe, {entry}, "data.retention"));
    CheckUntrained(recipe, paths.data, text);
    inputs.insert(inputs.end(), text.begin(), text.end());
  }
  std::error_code error;
  if (const fs::path file = fs::canonical(recipe.file, error); !error) inputs.push_back(file);
  for (const fs::path& output : {paths.out, paths.work}) CheckOutside(recipe, "release.out", output, inputs);
  return paths;
}

}  // namespace longspan
