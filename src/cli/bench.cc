// longspan bench: what the machine can do, and how much of it a model uses.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/machine.h"
#include "base/parallel.h"
#include "benchmark/benchmark.h"
#include "benchmark/cost.h"
#include "benchmark/memory_reading.h"
#include "benchmark/peaks.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "formats/llama_gguf.h"
#include "kernels/kernels.h"
#include "tensor/type.h"

namespace longspan {
namespace {

using Json = nlohmann::ordered_json;

struct BenchOptions {
  ModelOptions model;
  BenchmarkOptions benchmark;
  bool peaks = true;  // measure the machine's
  bool json = false;
};

// "25.3 GB/s"
std::string Rate(double per_second, std::string_view unit) {
  const bool tera = per_second >= 1e12;
  return fmt::format("{:.{}f} {}{}/s", per_second / (tera ? 1e12 : 1e9), tera ? 2 : 1, tera ? 'T' : 'G',
                     unit);
}

// The peak that a result is compared with: reading memory for writing, products for all else. `rate` is that
// of the fastest repetition, `fraction` the median of what repetitions reached of the machine around them.
struct Held {
  const Peak* peak;
  double rate;
  std::string_view unit;
  double fraction;
};

Held HoldAgainst(const BenchmarkResult& result, std::span<const Peak> peaks, const Peak* products) {
  const bool writing = result.work == BenchmarkWork::kDecode;
  const Peak* peak = writing ? MemoryPeak(peaks) : products;
  return {peak, (writing ? result.bytes : result.operations) / result.BestSeconds(), writing ? "B" : "FLOP",
          peak == nullptr ? 0 : result.MedianOfMachine()};
}

// Only quantised weights are multiplied by activations in integers.
const Peak* PeakOfProducts(const ModelOptions& options, const LoadedModel& model,
                           std::span<const Peak> peaks) {
  const bool quantised = !IsFloat(MainType(model.transformer().weights(), model.config().tied_embeddings));
  return ProductPeak(peaks, options.isa, options.activations, quantised);
}

std::string FullName(const Peak& peak) {
  return fmt::format("{}{}{}", Name(peak.kind), peak.isa.empty() ? "" : " ", peak.isa);
}

void PrintMachine(const std::vector<Peak>& peaks, const std::string& isa) {
  fmt::print("{}, {} thread{}, kernels {}\n", ProcessorName(), Threads(), Threads() == 1 ? "" : "s", isa);
  if (peaks.empty()) return;
  fmt::print("\n{:<15} {:<8} {:<20} {:>15} {:>15}\n", "peak", "isa", "instruction", "one thread",
             "all threads");
  for (const PeakKind kind : {PeakKind::kTileBf16, PeakKind::kTileInt8, PeakKind::kBf16Dot,
                              PeakKind::kInt8Dot, PeakKind::kFma, PeakKind::kMemoryReading}) {
    bool any = false;
    for (const Peak& peak : peaks) {
      if (peak.kind != kind) continue;
      any = true;
      fmt::print("{:<15} {:<8} {:<20} {:>15} {:>15}\n", Name(kind), peak.isa, peak.instruction,
                 Rate(peak.one_thread, Unit(kind)), Rate(peak.all_threads, Unit(kind)));
    }
    if (!any) fmt::print("{:<15} {:<8} {:<20} {:>15} {:>15}\n", Name(kind), "", "", "n/a", "n/a");
  }
}

void PrintModel(const BenchOptions& options, const LoadedModel& model, const std::vector<Peak>& peaks,
                const std::vector<BenchmarkResult>& results) {
  const Peak* products = PeakOfProducts(options.model, model, peaks);
  fmt::print(
      "\n{}: {:.1f} million parameters, {:.1f} MB of weights read a pass, {}, activations {}, cache {}\n\n",
      options.model.path, static_cast<double>(model.config().Parameters()) / 1e6,
      WeightBytes(model.transformer().weights()) / 1e6, NameOf(model.weight_memory()),
      NameOf(options.model.activations), Traits(options.model.CacheType(model.config())).name);
  const bool sparse = options.model.sparse_prefill;
  if (sparse) fmt::print("{}; rates are those of dense attention\n\n", SparseText(options.model, model));
  fmt::print("{:<8} {:>7} {:>7} {:>9} {:>10} {:>10} {:>14}  {}{}\n", "work", "depth", "tokens", "sequences",
             "tokens/s", "median", "best rate", sparse ? "chosen  " : "", "of peak");
  for (const BenchmarkResult& r : results) {
    const Held held = HoldAgainst(r, peaks, products);
    fmt::print("{:<8} {:>7} {:>7} {:>9} {:>10.2f} {:>10.2f} {:>14}  {}{}\n", Name(r.work), r.depth, r.tokens,
               r.sequences, r.TokensPerSecond(r.BestSeconds()), r.TokensPerSecond(r.MedianSeconds()),
               Rate(held.rate, held.unit), sparse ? fmt::format("{:>5.1f}%  ", 100 * r.chosen) : "",
               held.peak == nullptr
                   ? "n/a"
                   : fmt::format("{:.1f}% of {}", 100 * held.fraction, FullName(*held.peak)));
  }
}

// How fast a whole prompt was read at each depth.
void PrintStretches(const BenchmarkResult& result) {
  if (result.stretches.size() < 2) return;
  fmt::print("\nprompt of {} by depth, {:.1f} s in all\n", result.tokens, result.BestSeconds());
  fmt::print("{:>7} {:>10} {:>8}\n", "depth", "tokens/s", "of peak");
  for (const PromptStretch& stretch : result.stretches) {
    const double rate = static_cast<double>(stretch.tokens) / stretch.seconds;
    fmt::print("{:>7} {:>10.2f} {:>8}\n", stretch.depth, rate,
               stretch.of_machine > 0 ? fmt::format("{:.1f}%", 100 * stretch.of_machine) : "n/a");
  }
}

void PrintProfile(const BenchmarkResult& result) {
  const double all = result.ProfiledSeconds(), tokens = result.tokens * result.sequences;
  fmt::print("\n{} of {} at depth {}, {} sequence{}: {:.2f} tokens/s with a clock around each operation\n",
             Name(result.work), result.tokens, result.depth, result.sequences,
             result.sequences == 1 ? "" : "s", result.TokensPerSecond(all));
  fmt::print("{:<16} {:>12} {:>8} {:>14}\n", "part", "us a token", "share", "on one thread");
  for (const PartTime& time : result.parts) {
    fmt::print("{:<16} {:>12.2f} {:>7.1f}% {:>13.1f}%\n", Name(time.part), 1e6 * time.seconds / tokens,
               100 * time.seconds / all, 100 * time.one_thread / all);
  }
}

Json ProfileJson(const BenchmarkResult& result) {
  Json json = Json::array();
  for (const PartTime& time : result.parts) {
    json.push_back({{"part", Name(time.part)},
                    {"seconds", time.seconds},
                    {"share", time.seconds / result.ProfiledSeconds()},
                    {"one_thread_seconds", time.one_thread}});
  }
  return json;
}

Json StretchesJson(const BenchmarkResult& result) {
  Json json = Json::array();
  for (const PromptStretch& stretch : result.stretches) {
    json.push_back({{"depth", stretch.depth},
                    {"tokens", stretch.tokens},
                    {"seconds", stretch.seconds},
                    {"fraction", stretch.of_machine > 0 ? Json(stretch.of_machine) : Json()}});
  }
  return json;
}

Json MachineJson(const std::vector<Peak>& peaks) {
  Json json = Json::array();
  for (const Peak& p : peaks) {
    json.push_back({{"peak", Name(p.kind)},
                    {"isa", p.isa},
                    {"instruction", p.instruction},
                    {"unit", fmt::format("{}/s", Unit(p.kind))},
                    {"one_thread", p.one_thread},
                    {"all_threads", p.all_threads}});
  }
  return json;
}

Json ResultsJson(const std::vector<Peak>& peaks, const Peak* products,
                 const std::vector<BenchmarkResult>& results) {
  Json json = Json::array();
  for (const BenchmarkResult& r : results) {
    const Held held = HoldAgainst(r, peaks, products);
    const double best = r.BestSeconds(), median = r.MedianSeconds();
    json.push_back(
        {{"work", Name(r.work)},
         {"depth", r.depth},
         {"tokens", r.tokens},
         {"sequences", r.sequences},
         {"repetitions", r.seconds.size()},
         {"seconds", {{"best", best}, {"median", median}}},
         {"tokens_per_second", {{"best", r.TokensPerSecond(best)}, {"median", r.TokensPerSecond(median)}}},
         {"flop_per_second", r.operations / best},
         {"bytes_per_second", r.bytes / best},
         {"peak", held.peak == nullptr ? Json() : Json(FullName(*held.peak))},
         {"fraction", held.peak == nullptr ? Json() : Json(held.fraction)},
         {"chosen", r.chosen}});
    if (!r.stretches.empty()) json.back()["by_depth"] = StretchesJson(r);
    if (!r.parts.empty()) json.back()["profile"] = ProfileJson(r);
  }
  return json;
}

void RunBench(const BenchOptions& options) {
  const std::string& isa = options.model.isa;
  ChooseKernels(isa);  // refuses what this machine lacks before anything is measured
  const std::string chosen = isa == "auto" ? AvailableKernels().front() : isa;
  std::optional<LoadedModel> model;
  if (!options.model.path.empty()) model.emplace(options.model.Load());

  std::vector<Peak> peaks;
  if (options.peaks) peaks = MeasurePeaks({}, Terminal());
  std::erase_if(peaks, [&](const Peak& peak) { return !Allows(isa, peak); });
  std::vector<BenchmarkResult> results;
  if (model) {
    std::optional<MemoryReading> memory;
    BenchmarkOptions benchmark = options.benchmark;
    benchmark.cache_type = options.model.CacheType(model->config());
    if (options.peaks) {
      memory.emplace();
      const Peak* products = PeakOfProducts(options.model, *model, peaks);
      benchmark.machine = [&, products](BenchmarkWork work) {
        if (work == BenchmarkWork::kDecode) return memory->Pass(Threads());
        return products == nullptr ? 0.0 : RateNow(*products);
      };
    }
    results = MeasureModel(model->transformer(), benchmark, Terminal());
  }

  if (!options.json) {
    PrintMachine(peaks, chosen);
    if (model) PrintModel(options, *model, peaks, results);
    std::ranges::for_each(results, PrintStretches);
    if (options.benchmark.profile) std::ranges::for_each(results, PrintProfile);
    return;
  }
  Json json{{"program", "longspan"},
            {"processor", ProcessorName()},
            {"threads", Threads()},
            {"isa", chosen},
            {"machine", MachineJson(peaks)}};
  if (model) {
    json["model"] = {{"path", options.model.path},
                     {"parameters", model->config().Parameters()},
                     {"weight_bytes", static_cast<std::int64_t>(WeightBytes(model->transformer().weights()))},
                     {"weight_memory", NameOf(model->weight_memory())},
                     {"activations", NameOf(options.model.activations)},
                     {"cache_type", Traits(options.model.CacheType(model->config())).name},
                     {"sparse_prefill", SparseJson(options.model, *model)}};
    json["results"] = ResultsJson(peaks, PeakOfProducts(options.model, *model, peaks), results);
  }
  fmt::print("{}\n", json.dump(2));
}

}  // namespace

void AddBench(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  BenchmarkOptions& benchmark = options->benchmark;
  // The defaults of `run`.
  options->model.activations = Activations::kInt8;
  options->model.fast_cache = true;
  CLI::App* bench = app.add_subcommand("bench", "Measure the machine, and how much of it a model uses");
  options->model.AddTo(*bench);
  options->model.AddSparseTo(*bench);
  bench->get_option("MODEL")->required(false)->description("GGUF file (default: the machine alone)");
  bench->add_option("--depths", benchmark.depths, "Tokens that the sequence holds before a measurement")
      ->delimiter(',')
      ->capture_default_str()
      ->check(kNotNegative);
  bench->add_option("--prefill", benchmark.prefill, "Tokens to read at each depth; 0: none")
      ->capture_default_str()
      ->check(kNotNegative);
  bench->add_option("--tokens", benchmark.decode, "Tokens to write at each depth; 0: none")
      ->capture_default_str()
      ->check(kNotNegative);
  bench->add_option("--prompt", benchmark.prompt, "Tokens of one whole prompt, read once; 0: none")
      ->capture_default_str()
      ->check(kNotNegative);
  bench
      ->add_option("--batch", benchmark.batches,
                   "Sequences written at once; more than one only at the least depth")
      ->delimiter(',')
      ->capture_default_str()
      ->check(kPositive);
  bench->add_option("--repetitions", benchmark.repetitions, "Repetitions of each prefill and of each writing")
      ->capture_default_str()
      ->check(kPositive);
  bench->add_flag(
      "--profile", benchmark.profile,
      "Repeat each work, and say which part of a pass takes how long, and what ran on one thread");
  bench->add_flag("!--no-peaks", options->peaks, "Measure the model alone, not the machine");
  bench->add_flag("--json", options->json, "Print JSON");
  bench->footer(
      "Example:\n  longspan bench\n  longspan bench model.gguf --depths 0,8192 --prompt 16384 --batch 1,8 "
      "--threads 2");
  bench->callback([options] { RunBench(*options); });
}

}  // namespace longspan
