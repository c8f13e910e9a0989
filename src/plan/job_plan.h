// What a job will need and take: memory by purpose, disk, tokens, steps, time and energy, from the recipe,
// the base's dimensions and a few seconds of measuring on this machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/progress.h"
#include "model/config.h"
#include "release/recipe/recipe.h"
#include "train/training_memory.h"

namespace longspan {

struct StagePlan {
  std::string name;  // as `extend` calls it
  double seconds = 0;
  std::int64_t tokens = 0;  // read, trained on or written; 0 where a stage knows none
  std::int64_t mapped =
      0;  // bytes of files that are mapped while it runs: the system may drop and read them again
  std::vector<MemoryPart> memory;  // beside those
  std::int64_t disk = 0;           // bytes that it writes
  std::int64_t removed = 0;        // of them, bytes that are gone when it ends

  std::int64_t Memory() const { return TotalBytes(memory); }
};

struct MachineFacts {
  std::string processor;
  int threads = 0;
  std::int64_t memory = 0, available_memory = 0;  // bytes
  std::int64_t free_disk = -1;                    // bytes, where the job writes; -1 where nothing tells
};

// What does not fit this machine.
struct Shortage {
  ErrorKind kind = ErrorKind::kOutOfMemory;  // or kIo, for the disk
  std::string advice;                        // which keys with which values would fit
};

struct JobPlan {
  MachineFacts machine;
  std::int64_t documents = 0, corpus_tokens = 0;  // kept, an estimate unless corpus_share is 1
  double corpus_share = 1;                        // of the corpus that was read for it
  std::int64_t steps = 0, examples = 0, trained_parameters = 0;
  bool training_extrapolated = false;
  std::vector<StagePlan> stages;
  double power_watts = 0, grid_g_per_kwh = 0;
  std::vector<Shortage> shortages;

  double Seconds() const;
  std::int64_t Disk() const;           // the most that is needed at once
  const StagePlan& Hungriest() const;  // the stage that needs the most memory, mapped files not counted
};

// Nothing is written. Error as CheckRecipe, whose checks come first.
JobPlan PlanJob(const Recipe& recipe, std::string_view isa, Progress& progress = NoProgress());

// Error of the first shortage's kind, with the advice for all, where the plan of `recipe`, a file, has any.
void RequireFit(const JobPlan& plan, const std::filesystem::path& recipe);

// The same for the stages that never ended, as far as it is known without measuring and without reading
// documents: memory and disk, no times, nothing of `prepare`. What checkpoints take already counts as free.
// Empty where all stages have ended.
JobPlan PlanRest(const Recipe& recipe, Progress& progress = NoProgress());

// Before `recipe` is run without a plan. Error as RequireFit where PlanRest needs more memory than the
// machine has, or more disk than is free. What needs more memory than is available just now is only reported.
// Other errors as CheckRecipe.
void RequireRestFits(const Recipe& recipe, Progress& progress = NoProgress());

nlohmann::ordered_json ToJson(const JobPlan& plan);

}  // namespace longspan
