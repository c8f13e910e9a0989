#include "plan/advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "plan/stage_memory.h"

namespace longspan {
namespace {

constexpr std::int64_t kShortestExample = 512, kLowestRank = 8;
constexpr std::int64_t kMostAccumulation = 1 << 20;  // the most that a recipe may say

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

std::string Describe(const std::vector<KeyChange>& changes) {
  std::string text;
  for (const KeyChange& change : changes)
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", change.key, change.value);
  return text;
}

}  // namespace longspan
