#include "cli/job_options.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "cli/checks.h"

namespace longspan {

namespace {

namespace fs = std::filesystem;

// MODEL and --out, before anything is measured.
void CheckFolders(const JobOptions& options) {
  const std::string& model = options.what.front();
  const auto has = [&](const char* file) { return fs::exists(fs::path(model) / file); };
  // What is wrong with an adapter is said where models are opened.
  if (fs::is_directory(model) && !has("config.json") && !has("adapter_config.json")) {
    Fail(ErrorKind::kBadOption,
         "{}: expected a model, as a GGUF file or a Hugging Face folder, found no config.json in it; "
         "give MODEL first, then DOCUMENTS",
         model);
  }
  const fs::path folder = options.Request().folder;
  if (fs::is_directory(folder)) return;
  const fs::file_type type = fs::symlink_status(folder).type();
  if (type == fs::file_type::not_found) return;
  Fail(ErrorKind::kBadOption,
       "{}: expected a folder for the recipe and all results, found {}; name another --out", folder.string(),
       type == fs::file_type::symlink ? "a link that leads to no folder" : "a file");
}

}  // namespace

void JobOptions::AddTo(CLI::App& command) {
  command
      .add_option("RECIPE | MODEL DOCUMENTS", what,
                  "A recipe (YAML); or a model, as a GGUF file or Hugging Face folder, and the documents to "
                  "train on: "
                  "files, folders or patterns")
      ->required();
  command.add_option("--to", target, "Window to reach, tokens; with MODEL DOCUMENTS")->check(kPositive);
  command.add_option("--out", out,
                     "Folder for the recipe and all results (default: the model's name and the window)");
  command.add_option("--steps", steps, "Training steps (default: chosen by the documents)")->check(kPositive);
  command.add_option("--types", types, "Types of the released files, such as Q8_0,Q4_K_M")->delimiter(',');
  command.add_option("--isa", isa, "Instruction set: auto, amx, avx512, avx2, reference")
      ->capture_default_str();
}

bool JobOptions::WithoutRecipe() const {
  const bool chosen = target > 0;
  if (!chosen && what.size() > 1)
    Fail(ErrorKind::kBadOption,
         "a model and documents need the window to reach: --to TOKENS, such as --to 65536");
  if (!chosen && (!out.empty() || steps > 0 || !types.empty()))
    Fail(ErrorKind::kBadOption,
         "--out, --steps and --types belong to MODEL DOCUMENTS --to TOKENS; a recipe has keys for them");
  if (!chosen && fs::is_directory(what.front())) {
    Fail(ErrorKind::kBadOption,
         "{}: a folder is no recipe; for a model, give documents and --to TOKENS as well", what.front());
  }
  if (chosen && what.size() < 2)
    Fail(ErrorKind::kBadOption, "{}: give the documents to train on after the model", what.front());
  const std::string& first = what.front();
  if (!fs::exists(first)) Fail(ErrorKind::kIo, "{}: no such file or folder", first);
  if (chosen) CheckFolders(*this);
  return chosen;
}

ChoiceRequest JobOptions::Request() const {
  ChoiceRequest request;
  request.model = what.front();
  request.documents.assign(what.begin() + 1, what.end());
  request.target = target;
  request.steps = steps;
  request.types = types;
  fs::path model = fs::absolute(what.front()).lexically_normal();
  if (!model.has_filename()) model = model.parent_path();
  const std::string name = fs::is_directory(model) ? model.filename().string() : model.stem().string();
  request.folder = out.empty() ? fs::path(fmt::format("{}-{}", name, target)) : fs::path(out);
  return request;
}

std::optional<Recipe> JobOptions::EarlierRecipe() const {
  const ChoiceRequest request = Request();
  const fs::path file = request.folder / kChosenRecipe;
  if (!fs::exists(file)) return std::nullopt;
  Recipe recipe = LoadRecipe(file);
  CheckSameRequest(recipe, request);
  return recipe;
}

}  // namespace longspan
