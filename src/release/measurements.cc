#include "release/measurements.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "base/error.h"
#include "base/file.h"
#include "base/schema.h"
#include "formats/json_reader.h"

namespace longspan {
namespace {

using nlohmann::json;

// A point of training has five numbers, and there is one for each step.
constexpr JsonLimits kLimits{.bytes = 1 << 28, .values = 1 << 23};

template <Is<BaseFacts> T>
void Fields(T& f, auto&& visit) {
  visit("name", f.name);
  visit("file", f.file);
  visit("bytes", f.bytes);
  visit("parameters", f.parameters);
  visit("layers", f.layers);
  visit("dim", f.dim);
  visit("heads", f.heads);
  visit("kv_heads", f.kv_heads);
  visit("vocab_size", f.vocab_size);
  visit("context", f.context);
  visit("rope_theta", f.rope_theta);
}

template <Is<DataFacts> T>
void Fields(T& f, auto&& visit) {
  visit("sources", f.sources);
  visit("documents_kept", f.documents_kept);
  visit("documents_short", f.documents_short);
  visit("documents_long", f.documents_long);
  visit("documents_duplicate", f.documents_duplicate);
  visit("tokens", f.tokens);
  visit("validation_tokens", f.validation_tokens);
}

template <Is<EvalTextFacts> T>
void Fields(T& f, auto&& visit) {
  visit("documents", f.documents);
  visit("tokens", f.tokens);
  visit("longest", f.longest);
  visit("skipped", f.skipped);
  visit("first_skipped", f.first_skipped);
}

template <Is<TrainingPoint> T>
void Fields(T& f, auto&& visit) {
  visit("step", f.step);
  visit("tokens", f.tokens);
  visit("loss", f.loss);
  visit("learning_rate", f.learning_rate);
  visit("validation", f.validation);
}

template <Is<TrainingFacts> T>
void Fields(T& f, auto&& visit) {
  visit("steps", f.steps);
  visit("skipped", f.skipped);
  visit("tokens", f.tokens);
  visit("trainable_parameters", f.trainable_parameters);
  visit("adapter_scale", f.adapter_scale);
  visit("seconds", f.seconds);
  visit("peak_memory_bytes", f.peak_memory_bytes);
  visit("processor", f.processor);
  visit("threads", f.threads);
  visit("points", f.points);
}

template <Is<PerplexityPoint> T>
void Fields(T& f, auto&& visit) {
  visit("context", f.context);
  visit("perplexity", f.perplexity);
  visit("window_mean", f.window_mean);
  visit("tokens", f.tokens);
}

template <Is<PasskeyCell> T>
void Fields(T& f, auto&& visit) {
  visit("length", f.length);
  visit("depth", f.depth);
  visit("trials", f.trials);
  visit("solved", f.solved);
}

template <Is<PositionPoint> T>
void Fields(T& f, auto&& visit) {
  visit("begin", f.begin);
  visit("end", f.end);
  visit("perplexity", f.perplexity);
  visit("standard_error", f.standard_error);
  visit("tokens", f.tokens);
}

template <Is<RetentionText> T>
void Fields(T& f, auto&& visit) {
  visit("name", f.name);
  visit("perplexity", f.perplexity);
}

template <Is<Evaluation> T>
void Fields(T& f, auto&& visit) {
  visit("file", f.file);
  visit("text", f.text);
  visit("stride", f.stride);
  visit("max_tokens", f.max_tokens);
  visit("passkey_seed", f.passkey_seed);
  visit("perplexity", f.perplexity);
  visit("passkey", f.passkey);
  visit("position_documents", f.position_documents);
  visit("positions", f.positions);
  visit("retention", f.retention);
}

template <Is<QuantizationRow> T>
void Fields(T& f, auto&& visit) {
  visit("name", f.name);
  visit("file", f.file);
  visit("bytes", f.bytes);
  visit("bits_per_weight", f.bits_per_weight);
  visit("perplexity", f.perplexity);
  visit("kld_mean", f.kld_mean);
  visit("kld_median", f.kld_median);
  visit("kld_p99", f.kld_p99);
  visit("kld_max", f.kld_max);
  visit("top1", f.top1);
}

template <Is<QuantizationFacts> T>
void Fields(T& f, auto&& visit) {
  visit("reference", f.reference);
  visit("context", f.context);
  visit("tokens", f.tokens);
  visit("rows", f.rows);
}

template <Is<HuggingFaceFile> T>
void Fields(T& f, auto&& visit) {
  visit("name", f.name);
  visit("bytes", f.bytes);
}

template <Is<HuggingFaceFacts> T>
void Fields(T& f, auto&& visit) {
  visit("type", f.type);
  visit("files", f.files);
}

template <Is<StageTime> T>
void Fields(T& f, auto&& visit) {
  visit("name", f.name);
  visit("seconds", f.seconds);
}

template <Is<EnergyFacts> T>
void Fields(T& f, auto&& visit) {
  visit("power_watts", f.power_watts);
  visit("power_source", f.power_source);
  visit("grid_g_per_kwh", f.grid_g_per_kwh);
  visit("grid_source", f.grid_source);
}

template <Is<SampleText> T>
void Fields(T& f, auto&& visit) {
  visit("file", f.file);
  visit("prompt", f.prompt);
  visit("text", f.text);
  visit("temperature", f.temperature);
  visit("repeat_penalty", f.repeat_penalty);
  visit("seed", f.seed);
}

template <Is<Measurements> T>
void Fields(T& f, auto&& visit) {
  visit("longspan_version", f.longspan_version);
  visit("base", f.base);
  visit("data", f.data);
  visit("training", f.training);
  visit("before", f.before);
  visit("scaled", f.scaled);
  visit("after", f.after);
  visit("quantization", f.quantization);
  visit("huggingface", f.huggingface);
  visit("stages", f.stages);
  visit("energy", f.energy);
  visit("sample", f.sample);
}

template <class T>
concept Struct = std::is_class_v<T> && requires(T& f) {
  Fields(f, [](const char*, auto&) {});
};

json Write(const std::string& value) { return value; }
json Write(std::integral auto value) { return value; }
json Write(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }
json Write(const Struct auto& facts);

template <class T>
json Write(const std::optional<T>& value) {
  return value ? Write(*value) : json(nullptr);
}

template <class T>
json Write(const std::vector<T>& values) {
  json array = json::array();
  for (const T& value : values) array.push_back(Write(value));
  return array;
}

json Write(const Struct auto& facts) {
  json object = json::object();
  Fields(facts, [&](const char* key, const auto& value) { object[key] = Write(value); });
  return object;
}

[[noreturn]] void FailType(const std::string& where, const char* expected, const json& found) {
  Fail(ErrorKind::kInvalidFile, "{}: expected {}, found {}", where, expected, found.type_name());
}

void Read(const json& value, const std::string& where, std::string& out) {
  if (!value.is_string()) FailType(where, "text", value);
  out = value.get<std::string>();
}

void Read(const json& value, const std::string& where, std::integral auto& out) {
  using T = std::remove_reference_t<decltype(out)>;
  if (!value.is_number_integer()) FailType(where, "an integer", value);
  const bool fits = value.is_number_unsigned() ? std::in_range<T>(value.get<std::uint64_t>())
                                               : std::in_range<T>(value.get<std::int64_t>());
  if (!fits) Fail(ErrorKind::kInvalidFile, "{}: {} is out of range", where, value.dump());
  out = value.get<T>();
}

void Read(const json& value, const std::string& where, double& out) {
  if (value.is_null()) {
    out = std::numeric_limits<double>::quiet_NaN();
  } else if (value.is_number()) {
    out = value.get<double>();
  } else {
    FailType(where, "a number", value);
  }
}

void Read(const json& value, const std::string& where, Struct auto& out);

template <class T>
void Read(const json& value, const std::string& where, std::optional<T>& out) {
  out.reset();
  if (!value.is_null()) Read(value, where, out.emplace());
}

template <class T>
void Read(const json& value, const std::string& where, std::vector<T>& out) {
  if (!value.is_array()) FailType(where, "an array", value);
  out.clear();
  for (const json& element : value)
    Read(element, fmt::format("{}[{}]", where, out.size()), out.emplace_back());
}

void Read(const json& value, const std::string& where, Struct auto& out) {
  if (!value.is_object()) FailType(where, "an object", value);
  Fields(out, [&](const char* key, auto& field) {
    const auto found = value.find(key);
    if (found == value.end()) Fail(ErrorKind::kInvalidFile, "{}: the key '{}' is missing", where, key);
    Read(*found, fmt::format("{}: {}", where, key), field);
  });
}

}  // namespace

double Measurements::TotalSeconds() const {
  double total = 0;
  for (const StageTime& stage : stages) total += stage.seconds;
  return total;
}

std::vector<KeptText> KeptTexts(const Measurements& m) {
  std::vector<KeptText> kept;
  const auto find = [](const Evaluation& evaluation, const std::string& name) -> const RetentionText* {
    const auto found = std::ranges::find(evaluation.retention, name, &RetentionText::name);
    return found == evaluation.retention.end() || found->perplexity.empty() ? nullptr : &*found;
  };
  for (const RetentionText& before : m.before.retention) {
    const RetentionText *after = find(m.after, before.name), *scaled = find(m.scaled, before.name);
    if (after == nullptr || before.perplexity.empty()) continue;
    const PerplexityPoint &first = before.perplexity.front(), &last = after->perplexity.back();
    KeptText& text = kept.emplace_back();
    text = {.name = before.name,
            .base_context = first.context,
            .target = last.context,
            .tokens = first.tokens,
            .before = first.perplexity,
            .after_short = after->perplexity.front().perplexity,
            .after = last.perplexity,
            .scaled_short = {},
            .scaled = {}};
    if (scaled == nullptr) continue;
    text.scaled_short = scaled->perplexity.front().perplexity;
    text.scaled = scaled->perplexity.back().perplexity;
  }
  return kept;
}

std::optional<double> PasskeyShare(const std::vector<PasskeyCell>& cells, std::int64_t length) {
  std::int64_t solved = 0, trials = 0;
  for (const PasskeyCell& cell : cells) {
    if (cell.length != length) continue;
    solved += cell.solved;
    trials += cell.trials;
  }
  if (trials == 0) return std::nullopt;
  return static_cast<double>(solved) / static_cast<double>(trials);
}

template <class T>
json ToJson(const T& facts) {
  return Write(facts);
}

template <class T>
void SaveMeasurement(const std::filesystem::path& path, const T& facts) {
  // Text that a model generated may hold half a character; this must not prevent the measurement from being
  // kept.
  WriteFile(path, ToJson(facts).dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

template <class T>
T LoadMeasurement(const std::filesystem::path& path) {
  T facts;
  Read(ParseJson(ReadFile(path, kLimits.bytes), path.string(), kLimits), path.string(), facts);
  return facts;
}

template json ToJson(const BaseFacts&);
template void SaveMeasurement(const std::filesystem::path&, const BaseFacts&);
template BaseFacts LoadMeasurement(const std::filesystem::path&);
template json ToJson(const DataFacts&);
template void SaveMeasurement(const std::filesystem::path&, const DataFacts&);
template DataFacts LoadMeasurement(const std::filesystem::path&);
template json ToJson(const EvalTextFacts&);
template void SaveMeasurement(const std::filesystem::path&, const EvalTextFacts&);
template EvalTextFacts LoadMeasurement(const std::filesystem::path&);
template json ToJson(const TrainingFacts&);
template void SaveMeasurement(const std::filesystem::path&, const TrainingFacts&);
template TrainingFacts LoadMeasurement(const std::filesystem::path&);
template json ToJson(const Evaluation&);
template void SaveMeasurement(const std::filesystem::path&, const Evaluation&);
template Evaluation LoadMeasurement(const std::filesystem::path&);
template json ToJson(const QuantizationFacts&);
template void SaveMeasurement(const std::filesystem::path&, const QuantizationFacts&);
template QuantizationFacts LoadMeasurement(const std::filesystem::path&);
template json ToJson(const QuantizationRow&);
template void SaveMeasurement(const std::filesystem::path&, const QuantizationRow&);
template QuantizationRow LoadMeasurement(const std::filesystem::path&);
template json ToJson(const HuggingFaceFacts&);
template void SaveMeasurement(const std::filesystem::path&, const HuggingFaceFacts&);
template HuggingFaceFacts LoadMeasurement(const std::filesystem::path&);
template json ToJson(const EnergyFacts&);
template void SaveMeasurement(const std::filesystem::path&, const EnergyFacts&);
template EnergyFacts LoadMeasurement(const std::filesystem::path&);
template json ToJson(const SampleText&);
template void SaveMeasurement(const std::filesystem::path&, const SampleText&);
template SampleText LoadMeasurement(const std::filesystem::path&);
template json ToJson(const Measurements&);
template void SaveMeasurement(const std::filesystem::path&, const Measurements&);
template Measurements LoadMeasurement(const std::filesystem::path&);

}  // namespace longspan
