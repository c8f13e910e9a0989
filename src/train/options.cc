#include "train/options.h"

#include <algorithm>
#include <array>
#include <utility>

namespace longspan {
namespace {

constexpr std::array<std::pair<AdapterKind, std::string_view>, 3> kAdapters{
    {{AdapterKind::kFull, "full"}, {AdapterKind::kLora, "lora"}, {AdapterKind::kRsLora, "rslora"}}};
constexpr std::array<std::pair<ScheduleKind, std::string_view>, 2> kSchedules{
    {{ScheduleKind::kConstant, "constant"}, {ScheduleKind::kCosine, "cosine"}}};

template <class Table>
std::string_view NameIn(const Table& table, typename Table::value_type::first_type value) {
  return std::ranges::find(table, value, &Table::value_type::first)->second;
}

}  // namespace

std::string_view Name(AdapterKind kind) { return NameIn(kAdapters, kind); }
std::string_view Name(ScheduleKind kind) { return NameIn(kSchedules, kind); }

std::string Describe(const TrainOptions& options) {
  return fmt::format("version {}; {}", StageVersion(kTrainStage),
                     Fingerprint(ListKeys(options).keys, kTrainStage));
}

}  // namespace longspan
