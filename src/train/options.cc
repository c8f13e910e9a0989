#include "train/options.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"

namespace longspan {
namespace {

constexpr std::array<std::pair<AdapterKind, std::string_view>, 3> kAdapters{
    {{AdapterKind::kFull, "full"}, {AdapterKind::kLora, "lora"}, {AdapterKind::kRsLora, "rslora"}}};
constexpr std::array<std::pair<ScheduleKind, std::string_view>, 2> kSchedules{
    {{ScheduleKind::kConstant, "constant"}, {ScheduleKind::kCosine, "cosine"}}};

constexpr std::array<std::pair<OptimizerKind, std::string_view>, 2> kOptimizers{
    {{OptimizerKind::kAdamW, "adamw"}, {OptimizerKind::kAdamW8Bit, "adamw_8bit"}}};
constexpr std::array<std::pair<Precision, std::string_view>, 3> kPrecisions{
    {{Precision::kAuto, "auto"}, {Precision::kExact, "exact"}, {Precision::kBf16, "bf16"}}};

template <class Table>
std::string_view NameIn(const Table& table, typename Table::value_type::first_type value) {
  return std::ranges::find(table, value, &Table::value_type::first)->second;
}

}  // namespace

std::string_view Name(AdapterKind kind) { return NameIn(kAdapters, kind); }
std::string_view Name(ScheduleKind kind) { return NameIn(kSchedules, kind); }

std::string_view Name(OptimizerKind kind) { return NameIn(kOptimizers, kind); }
std::string_view Name(Precision precision) { return NameIn(kPrecisions, precision); }

const Kernels& TrainingKernels(Precision precision, std::string_view isa, std::string_view recipe) {
  if (precision == Precision::kBf16 && !HasBf16(isa)) {
    Fail(ErrorKind::kBadOption,
         "{}: train.precision: bf16: these kernels ({}) have none; expected exact, or auto, which decides by "
         "itself",
         recipe, ChooseKernels(isa).name());
  }
  return ChooseKernels(isa, precision == Precision::kExact ? Activations::kExact : Activations::kBf16);
}

std::vector<Part> TrainOptions::TargetParts() const {
  std::vector<Part> parts;
  for (const std::string& name : targets) {
    const std::optional<Part> part = PartNamed(name);
    if (!part || !Traits(*part).in_layer || Traits(*part).kind != PartKind::kMatrix)
      Fail(ErrorKind::kInternal, "no projection is called {}", name);
    parts.push_back(*part);
  }
  return parts;
}

std::string Describe(const TrainOptions& options) { return Fingerprint(ListKeys(options).keys, kTrainStage); }

}  // namespace longspan
