#include "train/train_log.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "formats/json_reader.h"

namespace longspan {
namespace {

constexpr JsonLimits kLine{.bytes = 4096, .values = 64, .depth = 4};

double Number(const nlohmann::json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

}  // namespace

std::int64_t TrainLog::Skipped() const { return std::ranges::count_if(points, &TrainLogPoint::skipped); }

std::int64_t TrainLog::SkippedInARow() const {
  const auto last_made =
      std::find_if_not(points.rbegin(), points.rend(), [](const auto& p) { return p.skipped; });
  return last_made - points.rbegin();
}

std::string TrainLog::ToJsonLines() const {
  std::string out;
  for (const TrainLogPoint& p : points) {
    nlohmann::ordered_json line{{"step", p.step},           {"tokens", p.tokens},
                                {"loss", p.loss},           {"learning_rate", p.learning_rate},
                                {"grad_norm", p.grad_norm}, {"seconds", p.seconds}};
    if (p.validation_loss) line["validation_loss"] = *p.validation_loss;
    if (p.skipped) line["skipped"] = true;
    out += line.dump() + "\n";
  }
  return out;
}

TrainLog TrainLog::FromJsonLines(std::string_view text, const std::filesystem::path& where) {
  const std::string name = where.string() + ": training log";
  TrainLog log;
  try {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      const auto line = ParseJson(text.substr(0, end), name, kLine);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      TrainLogPoint p{line.at("step"),
                      line.at("tokens"),
                      Number(line.at("loss")),
                      line.at("learning_rate"),
                      Number(line.at("grad_norm")),
                      line.at("seconds"),
                      {}};
      if (line.contains("validation_loss")) p.validation_loss = line.at("validation_loss");
      p.skipped = line.value("skipped", false);
      if (!p.skipped && !(std::isfinite(p.loss) && std::isfinite(p.grad_norm)))
        Fail(ErrorKind::kInvalidFile, "{}: step {} has no loss, and was not skipped", name, p.step);
      log.points.push_back(p);
    }
  } catch (const nlohmann::json::exception& error) {
    Fail(ErrorKind::kInvalidFile, "{}: {}", name, error.what());
  }
  return log;
}

}  // namespace longspan
