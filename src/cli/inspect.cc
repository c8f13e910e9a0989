// longspan inspect: what a model file or an adapter holds.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "convert/hf_checkpoint.h"
#include "formats/byte_reader.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_shards.h"
#include "formats/json_object.h"
#include "formats/json_reader.h"
#include "formats/llama_gguf.h"
#include "formats/peft.h"
#include "formats/safetensors.h"
#include "formats/wrong_file.h"

namespace longspan {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

struct InspectOptions {
  std::string path;
  bool json = false;
  bool tensors = false;
};

struct TensorFacts {
  std::string name;
  Type type;
  std::vector<std::int64_t> shape;
  std::int64_t elements;
  std::size_t bytes;
};

// What is shown, whatever the format: titled facts in order, then tensors.
struct Report {
  std::string format;
  std::uint64_t file_bytes = 0;
  ordered_json facts = ordered_json::object();             // as numbers and strings, for programs
  std::vector<std::pair<std::string, std::string>> lines;  // the same for people
  std::vector<TensorFacts> tensors;

  // A key must be added only once. (The operator[] of an ordered_json would search all keys, and a file can
  // have many.)
  void Add(const std::string& key, ordered_json fact, std::string line) {
    facts.get_ref<ordered_json::object_t&>().push_back({key, std::move(fact)});
    lines.emplace_back(Printable(key), std::move(line));
  }
  template <class T>
  void Add(const std::string& key, const T& value) {
    Add(key, value, fmt::format("{}", value));
  }
  void Add(const std::string& key, const std::string& text) { Add(key, text, Printable(text)); }
};

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  return fmt::format("{}", fmt::join(shape, " x "));
}

std::int64_t Elements(const std::vector<std::int64_t>& shape) {
  std::int64_t n = 1;
  for (const std::int64_t d : shape) n *= d;
  return n;
}

ordered_json ToJson(const GgufValue& value) {
  return std::visit(
      [&](const auto& v) -> ordered_json {
        using V = std::decay_t<decltype(v)>;
        if constexpr (std::same_as<V, GgufArray>) {
          return {{"array_of", Name(v.element_type())}, {"length", v.size()}};
        } else {
          return v;
        }
      },
      value.variant());
}

Report InspectGguf(const std::filesystem::path& path) {
  const auto file = GgufFile::Open(path);
  Report report;
  report.format = fmt::format("GGUF {}", file->version());
  report.file_bytes = file->file_bytes();
  for (const auto& [key, value] : file->metadata()) {
    std::string text = Summary(value);
    if (key == "general.file_type") {
      if (const auto id = value.As<std::uint32_t>()) text += fmt::format(" ({})", FileTypeName(*id));
    }
    report.Add(key, ToJson(value), std::move(text));
  }
  for (const GgufTensor& t : file->tensors()) {
    report.tensors.push_back({t.name, t.type, t.shape, t.elements(), t.bytes.size()});
  }
  return report;
}

TensorFacts FactsOf(const SafetensorsEntry& e) {
  return {e.name, e.type, e.shape, Elements(e.shape), e.bytes.size()};
}

Report InspectSafetensors(const SafetensorsFile& file) {
  Report report;
  report.format = "safetensors";
  report.file_bytes = file.file_bytes();
  for (const auto& [key, value] : file.metadata()) report.Add(key, value);
  for (const SafetensorsEntry& e : file.entries()) report.tensors.push_back(FactsOf(e));
  return report;
}

// The keys of config.json as they are, whatever the architecture, and the tensors of all shards by name.
Report InspectHuggingFace(const std::filesystem::path& folder) {
  const JsonObject config = JsonObject::Read(folder / "config.json", JsonLimits().bytes);
  const HfCheckpoint checkpoint = HfCheckpoint::Open(folder);
  Report report;
  report.format = "Hugging Face folder";
  report.file_bytes = checkpoint.file_bytes();
  for (const auto& [key, value] : config.value().items()) {
    constexpr std::size_t kShown = 160;
    const std::string text = value.is_string() ? value.get<std::string>()
                                               : value.dump(-1, ' ', true, json::error_handler_t::replace);
    report.Add(key, ordered_json(value), Printable(text, kShown));
  }
  for (const auto& [name, entry] : checkpoint.tensors()) report.tensors.push_back(FactsOf(*entry));
  return report;
}

Report InspectPeft(const std::filesystem::path& folder) {
  const PeftConfig config = ReadPeftConfig(folder);
  Report report = InspectSafetensors(*OpenPeftTensors(folder));
  report.format = "PEFT adapter";
  report.Add("base model", config.base_model);
  report.Add("rank", config.rank);
  report.Add("alpha", config.alpha);
  report.Add("rank-stabilised", config.rslora);
  report.Add("scale", LoraAdapter{config.rank, config.alpha, config.rslora, 0, "", {}}.Scale());
  report.Add("dropout", config.dropout);
  report.Add("target modules", fmt::format("{}", fmt::join(config.target_modules, " ")));
  return report;
}

// The first shard of a GGUF file in a folder, if it has one.
std::optional<std::filesystem::path> FirstGgufShard(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto name = GgufShardName::Parse(entry.path().filename().string());
    if (name && name->number == 1) return entry.path();
  }
  return std::nullopt;
}

Report Inspect(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    if (std::filesystem::exists(path / "adapter_config.json")) return InspectPeft(path);
    if (std::filesystem::exists(path / "config.json")) return InspectHuggingFace(path);
    if (const auto shard = FirstGgufShard(path)) {
      Fail(ErrorKind::kUnsupported, "{}: the folder of a split GGUF file; name its first shard, {}",
           path.string(), shard->string());
    }
    Fail(ErrorKind::kUnsupported,
         "{}: a folder with neither config.json (a model) nor adapter_config.json (an adapter)",
         path.string());
  }
  constexpr std::size_t kHead = 4096;
  const auto file = MappedFile::Open(path);
  const auto bytes = file->bytes();
  const std::string head(reinterpret_cast<const char*>(bytes.data()), std::min(kHead, bytes.size()));
  if (head.starts_with(kGgufMagic)) return InspectGguf(path);
  if (path.extension() == ".safetensors") return InspectSafetensors(*SafetensorsFile::Open(path));
  RefuseWrongFile(head, path.string());
  Fail(ErrorKind::kUnsupported,
       "{}: neither GGUF nor safetensors, nor the folder of a Hugging Face model or a PEFT adapter",
       path.string());
}

// Sums over tensors: how many parameters, in how many bytes, by type.
struct Totals {
  std::int64_t parameters = 0;
  std::uint64_t bytes = 0;
  std::map<Type, std::pair<int, std::uint64_t>> by_type;  // tensors, bytes

  explicit Totals(const std::vector<TensorFacts>& tensors) {
    for (const TensorFacts& t : tensors) {
      parameters += t.elements;
      bytes += t.bytes;
      ++by_type[t.type].first;
      by_type[t.type].second += t.bytes;
    }
  }
  double BitsPerWeight() const {
    return parameters == 0 ? 0.0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters);
  }
};

void PrintJson(const Report& report, bool tensors) {
  const Totals totals(report.tensors);
  ordered_json out = {{"format", report.format},
                      {"file_bytes", report.file_bytes},
                      {"tensor_count", report.tensors.size()},
                      {"parameters", totals.parameters},
                      {"tensor_bytes", totals.bytes},
                      {"bits_per_weight", totals.BitsPerWeight()},
                      {"metadata", report.facts}};
  for (const auto& [type, sums] : totals.by_type) {
    out["types"][std::string(Traits(type).name)] = {{"tensors", sums.first}, {"bytes", sums.second}};
  }
  if (tensors) {
    out["tensors"] = ordered_json::array();
    for (const TensorFacts& t : report.tensors) {
      out["tensors"].push_back(
          {{"name", t.name}, {"type", Traits(t.type).name}, {"shape", t.shape}, {"bytes", t.bytes}});
    }
  }
  // Names and strings come from a file and need not be UTF-8.
  fmt::print("{}\n", out.dump(2, ' ', false, ordered_json::error_handler_t::replace));
}

void PrintText(const Report& report, bool tensors) {
  fmt::print("{}, {:.1f} MB\n", report.format, static_cast<double>(report.file_bytes) / 1e6);
  std::size_t width = 0;
  for (const auto& [key, text] : report.lines) width = std::max(width, key.size());
  for (const auto& [key, text] : report.lines) fmt::print("  {:<{}}  {}\n", key, width, text);
  const Totals totals(report.tensors);
  if (!report.tensors.empty()) {
    fmt::print("{} tensors, {:.1f}M parameters, {:.1f} MB, {:.2f} bits per weight\n", report.tensors.size(),
               static_cast<double>(totals.parameters) / 1e6, static_cast<double>(totals.bytes) / 1e6,
               totals.BitsPerWeight());
    for (const auto& [type, sums] : totals.by_type) {
      fmt::print("  {:<8} {:>5} tensors  {:>10.1f} MB\n", Traits(type).name, sums.first,
                 static_cast<double>(sums.second) / 1e6);
    }
  }
  if (!tensors) return;
  for (const TensorFacts& t : report.tensors) {
    fmt::print("  {:<32} {:<8} {:>18} {:>14}\n", Printable(t.name, 160), Traits(t.type).name,
               ShapeText(t.shape), t.bytes);
  }
}

}  // namespace

void AddInspect(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("inspect", "Show what a model's file or folder, or an adapter, holds");
  const auto options = std::make_shared<InspectOptions>();
  command
      ->add_option("file", options->path,
                   "GGUF or safetensors file, or the folder of a Hugging Face model or a PEFT adapter")
      ->required()
      ->check(CLI::ExistingPath);
  command->add_flag("--json", options->json, "Print JSON");
  command->add_flag("--tensors", options->tensors,
                    "List every tensor: name, type, shape (rows x columns), bytes");
  command->footer("Example: longspan inspect model.gguf --tensors");
  command->callback([options] {
    const Report report = Inspect(options->path);
    if (options->json)
      PrintJson(report, options->tensors);
    else
      PrintText(report, options->tensors);
  });
}

}  // namespace longspan
