#include "plan/advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "plan/stage_memory.h"

namespace longspan {
namespace {

constexpr std::int64_t kShortestExample = 512, kLowestRank = 8;
constexpr std::int64_t kMostAccumulation = 1 << 20;  // the most that a recipe may say

double Gib(std::int64_t bytes) { return static_cast<double>(bytes) / 0x1p30; }

// What would make a stage fit `bytes`.
std::string Remedy(const StagePlan& stage, const LlamaConfig& config, const TrainOptions& options,
                   std::int64_t length, int threads, std::int64_t bytes) {
  const std::int64_t fixed = stage.memory.front().bytes;
  if (stage.name == "train") {
    const auto changes = ChangesForTraining(config, options, length, threads, fixed, bytes);
    return changes ? "it fits with " + Describe(*changes)
                   : "no settings make it fit: take a smaller model or more memory";
  }
  const bool compares = stage.name.starts_with("compare");
  if (!compares && !stage.name.starts_with("evaluate"))
    return "close other programs, or take a machine with more memory";
  return fmt::format(
      "texts of up to {} tokens fit: lower {}", LongestTextWithin(config, compares ? 2 : 1, bytes - fixed),
      compares ? "eval.kld.context" : "eval.contexts, eval.passkey.lengths and eval.by_position.max_tokens");
}

}  // namespace

std::optional<std::vector<KeyChange>> ChangesForTraining(const LlamaConfig& config, const TrainOptions& given,
                                                         std::int64_t length, int threads, std::int64_t fixed,
                                                         std::int64_t bytes) {
  TrainOptions options = given;
  const std::int64_t examples = given.ExamplesPerStep();
  std::map<std::string, std::string> changed;  // the last value of each key
  const auto fits = [&] {
    return fixed + TotalBytes(TrainingMemory(config, options, length, threads)) <= bytes;
  };
  const auto changes = [&] {
    std::vector<KeyChange> list;
    for (const auto& [key, value] : changed) list.push_back({key, value});
    return list;
  };
  if (fits()) return changes();
  if (!options.recompute) {
    options.recompute = true;
    changed["train.recompute"] = "true";
    if (fits()) return changes();
  }
  while (options.batch_size > 1) {
    options.batch_size /= 2;
    options.gradient_accumulation = (examples + options.batch_size - 1) / options.batch_size;
    if (options.gradient_accumulation > kMostAccumulation) return std::nullopt;
    changed["train.batch_size"] = fmt::format("{}", options.batch_size);
    changed["train.gradient_accumulation"] = fmt::format("{}", options.gradient_accumulation);
    if (fits()) return changes();
  }
  while (length / 2 >= kShortestExample) {
    length /= 2;
    changed["context.window"] = fmt::format("{}", length);
    if (fits()) return changes();
  }
  if (options.adapter == AdapterKind::kFull) {
    options.adapter = AdapterKind::kRsLora;
    options.rank = 64;
    changed["train.adapter"] = "rslora";
    changed["train.rank"] = "64";
    if (fits()) return changes();
  }
  while (options.rank / 2 >= kLowestRank) {
    options.rank /= 2;
    changed["train.rank"] = fmt::format("{}", options.rank);
    if (fits()) return changes();
  }
  return std::nullopt;
}

std::int64_t LongestTextWithin(const LlamaConfig& config, int models, std::int64_t bytes) {
  std::int64_t low = 0, high = std::int64_t{1} << 24;
  while (low < high) {
    const std::int64_t middle = (low + high + 1) / 2;
    TotalBytes(ReadingMemory(config, middle, models)) <= bytes ? low = middle : high = middle - 1;
  }
  return low;
}

std::vector<Shortage> FindShortages(const JobPlan& plan, const LlamaConfig& config,
                                    const TrainOptions& options, std::int64_t length) {
  const MachineFacts& machine = plan.machine;
  std::vector<Shortage> shortages;
  for (const StagePlan& stage : plan.stages) {
    if (stage.Memory() <= machine.available_memory) continue;
    shortages.push_back(
        {ErrorKind::kOutOfMemory,
         fmt::format("{}: needs {:.1f} GiB of memory, {:.1f} GiB are available; {}", stage.name,
                     Gib(stage.Memory()), Gib(machine.available_memory),
                     Remedy(stage, config, options, length, machine.threads, machine.available_memory))});
  }
  if (machine.free_disk >= 0 && plan.Disk() > machine.free_disk) {
    shortages.push_back(
        {ErrorKind::kIo, fmt::format("disk: needs {:.1f} GiB, {:.1f} GiB are free where release.out is; name "
                                     "another release.out, or fewer quantize.types",
                                     Gib(plan.Disk()), Gib(machine.free_disk))});
  }
  return shortages;
}

std::string Describe(const std::vector<KeyChange>& changes) {
  std::string text;
  for (const KeyChange& change : changes)
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", change.key, change.value);
  return text;
}

}  // namespace longspan
