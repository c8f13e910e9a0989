#include "cli/search_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "cli/checks.h"
#include "cli/terminal.h"
#include "cli/texts.h"
#include "eval/calibration.h"
#include "infer/loaded_model.h"

namespace longspan {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr std::int64_t kChunkTokens = 512;  // or the model's window, where that is shorter

std::string_view TypeName(Type type) { return Traits(type).name; }

// The bytes that the tensors may take so that the file has the size asked for.
std::int64_t TensorTarget(const SearchOptions& options, const GgufFile& file, const MixOverrides& overrides) {
  std::int64_t tensors = 0, elements = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    tensors += static_cast<std::int64_t>(tensor.bytes.size());
    elements += tensor.elements();
  }
  if (options.size.empty())
    return static_cast<std::int64_t>(options.bits_per_weight / 8 * static_cast<double>(elements));
  // Names, vocabulary and padding change little.
  const std::int64_t rest = static_cast<std::int64_t>(file.file_bytes()) - tensors;
  if (const auto bytes = ParseSize(options.size)) return *bytes - rest;
  return MixBytes(file, FindMix(options.size), overrides);
}

// An argument, quoted for a shell.
std::string Quoted(const std::string& rule) { return fmt::format("--type '{}'", rule); }

}  // namespace

std::optional<std::int64_t> ParseSize(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !(number > 0)) return std::nullopt;
  std::string unit;
  for (const char c : text.substr(end - text.data())) {
    if (c != ' ') unit += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  constexpr std::pair<std::string_view, double> kUnits[] = {
      {"", 1},         {"b", 1},        {"kb", 1e3},   {"mb", 1e6},   {"gb", 1e9},  {"kib", 0x1p10},
      {"mib", 0x1p20}, {"gib", 0x1p30}, {"k", 0x1p10}, {"m", 0x1p20}, {"g", 0x1p30}};
  const auto it = std::ranges::find(kUnits, unit, &std::pair<std::string_view, double>::first);
  if (it == std::end(kUnits) || number * it->second >= 0x1p60) return std::nullopt;
  return std::llround(number * it->second);
}

void SearchOptions::AddTo(CLI::App& command) {
  constexpr const char* kGroup = "Types by measured sensitivity";
  auto* target =
      command
          .add_option("--target-size", size,
                      "Size of the file, such as 3.6GiB, or a mix, whose size it then has: the types that "
                      "do the least harm at this size")
          ->group(kGroup);
  command.add_option("--target-bpw", bits_per_weight, "The same, in bits per weight")
      ->excludes(target)
      ->check(kPositive)
      ->group(kGroup);
  command.add_option("--calibration", texts, std::string("Text to measure on: ") + kTextFiles)
      ->check(CLI::ExistingPath)
      ->group(kGroup);
  command.add_option("--calibration-tokens", tokens, "Read at most so many tokens of it; fewer are faster")
      ->capture_default_str()
      ->check(kPositive)
      ->group(kGroup);
  command.add_option("--isa", isa, "Instruction set to measure with: auto, amx, avx512, avx2, reference")
      ->capture_default_str()
      ->group(kGroup);
}

TypeSearchResult SearchOptions::Search(const std::string& in, const QuantizeOptions& quantize) const {
  if (texts.empty())
    Fail(ErrorKind::kBadOption, "a target size needs a text to measure on: --calibration TEXT");
  const LoadedModel model(in, {}, isa);
  const auto file = GgufFile::Open(in);
  TypeSearchOptions search;
  search.overrides = quantize.overrides;
  search.importance = quantize.importance;
  search.allow_requantize = quantize.allow_requantize;
  search.bytes = TensorTarget(*this, *file, quantize.overrides);

  const auto documents = ReadDocuments(texts, 0, model);
  const std::int64_t chunk = std::min({kChunkTokens, model.config().context, tokens});
  auto chunks = CalibrationChunks(documents, model.bos(), chunk);
  // Spread over the text, because its beginning is not like the rest.
  const auto wanted = static_cast<std::size_t>(std::max<std::int64_t>(1, tokens / chunk));
  if (chunks.size() > wanted) {
    for (std::size_t i = 0; i < wanted; ++i) chunks[i] = chunks[i * chunks.size() / wanted];
    chunks.resize(wanted);
  }
  return SearchTypes(*file, model.transformer(), chunks, search, Terminal());
}

void PrintSearch(const TypeSearchResult& result, const std::vector<std::string>& given) {
  fmt::print("{:<28} {:>8} {:>10} {:>12}\n", "tensor", "type", "MiB", "KL");
  for (const ChosenType& tensor : result.tensors) {
    if (!tensor.searched) continue;
    fmt::print("{:<28} {:>8} {:>10.2f} {:>12.6f}\n", tensor.name, TypeName(tensor.type),
               static_cast<double>(tensor.bytes) / kMiB, tensor.divergence);
  }
  fmt::print("in all {:.2f} MiB, {:.3f} bits per weight, KL divergence about {:.6f}\n",
             static_cast<double>(result.bytes) / kMiB,
             8.0 * static_cast<double>(result.bytes) / static_cast<double>(result.elements),
             result.divergence);
  fmt::print("To repeat this choice: {}", result.mix);
  for (const std::string& rule : given) fmt::print(" \\\n  {}", Quoted(rule));
  for (const std::string& rule : result.rules) fmt::print(" \\\n  {}", Quoted(rule));
  fmt::print("\n");
}

nlohmann::ordered_json ToJson(const TypeSearchResult& result, const std::vector<std::string>& given) {
  nlohmann::ordered_json json;
  json["bytes"] = result.bytes;
  json["estimated_divergence"] = result.divergence;
  json["mix"] = result.mix;
  json["rules"] = given;
  for (const std::string& rule : result.rules) json["rules"].push_back(rule);
  for (const ChosenType& tensor : result.tensors) {
    if (!tensor.searched) continue;
    json["tensors"].push_back({{"name", tensor.name},
                               {"type", TypeName(tensor.type)},
                               {"bytes", tensor.bytes},
                               {"estimated_divergence", tensor.divergence}});
  }
  return json;
}

}  // namespace longspan
