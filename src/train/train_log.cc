#include "train/train_log.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "formats/json_reader.h"

namespace longspan {
namespace {

constexpr JsonLimits kLine{.bytes = 4096, .values = 64, .depth = 4};

}  // namespace

std::string TrainLog::ToJsonLines() const {
  std::string out;
  for (const TrainLogPoint& p : points) {
    nlohmann::ordered_json line{{"step", p.step},           {"tokens", p.tokens},
                                {"loss", p.loss},           {"learning_rate", p.learning_rate},
                                {"grad_norm", p.grad_norm}, {"seconds", p.seconds}};
    if (p.validation_loss) line["validation_loss"] = *p.validation_loss;
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
                      line.at("loss"),
                      line.at("learning_rate"),
                      line.at("grad_norm"),
                      line.at("seconds"),
                      {}};
      if (line.contains("validation_loss")) p.validation_loss = line.at("validation_loss");
      log.points.push_back(p);
    }
  } catch (const nlohmann::json::exception& error) {
    Fail(ErrorKind::kInvalidFile, "{}: {}", name, error.what());
  }
  return log;
}

}  // namespace longspan
