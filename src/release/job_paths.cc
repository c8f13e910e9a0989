#include "release/job_paths.h"

#include <array>
#include <string>

#include "base/error.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

// The folder's own path: "out/" and "out/." are "out", and "." has a name, too.
fs::path OutOf(const Recipe& recipe) {
  fs::path out = recipe.release.out.lexically_normal();
  if (!out.has_filename() && out.has_relative_path()) out = out.parent_path();
  if (out == "." || out == "..") out = fs::absolute(out).lexically_normal().parent_path();
  if (!out.has_filename() || out.filename() == "..") {
    Fail(ErrorKind::kBadOption, "{}: release.out is {}, expected a folder of its own", recipe.file.string(),
         recipe.release.out.string());
  }
  return out;
}

std::string Resolved(const fs::path& path) {
  std::error_code error;
  const fs::path resolved = fs::weakly_canonical(path, error);
  if (error) Fail(ErrorKind::kIo, "{}: cannot be resolved: {}", path.string(), error.message());
  return resolved.string();
}

bool IsWithin(const std::string& path, const std::string& folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

}  // namespace

void CheckOutside(const JobPaths& paths, std::span<const fs::path> inputs) {
  for (const fs::path& output : {paths.out, paths.work}) {
    const std::string own = Resolved(output);
    for (const fs::path& input : inputs) {
      if (IsWithin(input.string(), own)) {
        Fail(ErrorKind::kInvalidFile,
             "{}: an input within {}, which this job writes: move it out, or name another release.out",
             input.string(), output.string());
      }
      if (IsWithin(own, input.string())) {
        Fail(ErrorKind::kInvalidFile,
             "{}: an input that holds {}, which this job writes: name another release.out", input.string(),
             output.string());
      }
    }
  }
}

JobPaths CheckedPaths(const Recipe& recipe) {
  JobPaths paths;
  paths.out = OutOf(recipe);
  paths.work = paths.out.string() + ".work";
  paths.data = ResolveInputs(recipe, recipe.data.inputs);
  paths.eval = ResolveInputs(recipe, recipe.eval.inputs);
  std::error_code error;
  const fs::path base = fs::canonical(recipe.base, error);
  if (error) Fail(ErrorKind::kInvalidFile, "{}: cannot be opened: {}", recipe.base.string(), error.message());
  CheckOutside(paths, paths.data);
  CheckOutside(paths, paths.eval);
  CheckOutside(paths, std::array{base});
  return paths;
}

}  // namespace longspan
