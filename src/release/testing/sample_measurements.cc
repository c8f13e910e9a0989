#include "release/testing/sample_measurements.h"

#include <fmt/format.h>

#include <cmath>
#include <regex>
#include <vector>

namespace longspan {
namespace {

// A character of text or of an attribute's value.
const std::string kCharacter = R"((?:[^<>&"]|&(?:amp|lt|gt|quot|apos|#[0-9]+);))";

}  // namespace

std::string XmlFault(std::string_view text) {
  static const std::regex tag(
      "<(/?)([A-Za-z][A-Za-z0-9]*)((?: [A-Za-z][A-Za-z0-9:-]*=\"" + kCharacter + "*\")*)\\s*(/?)>",
      std::regex::optimize);
  static const std::regex words(kCharacter + "*", std::regex::optimize);
  std::vector<std::string> open;
  int roots = 0;
  const auto* at = text.data();
  const auto* const end = text.data() + text.size();
  while (at != end) {
    const char* next = std::find(at, end, '<');
    const std::string between(at, next);
    if (!std::regex_match(between, words)) return fmt::format("stray markup in {:?}", between);
    if (open.empty() && between.find_first_not_of(" \n") != std::string::npos) return "text outside the root";
    if (next == end) break;
    std::cmatch match;
    if (!std::regex_search(next, end, match, tag, std::regex_constants::match_continuous)) {
      return fmt::format("a malformed tag at {:?}", std::string(next, std::min(next + 40, end)));
    }
    if (match[1].length() > 0) {
      if (open.empty() || open.back() != match[2]) return fmt::format("</{}> closes nothing", match[2].str());
      open.pop_back();
    } else {
      roots += open.empty();
      if (match[4].length() == 0) open.push_back(match[2]);
    }
    at = match[0].second;
  }
  if (!open.empty()) return fmt::format("<{}> is never closed", open.back());
  return roots == 1 ? "" : fmt::format("{} roots", roots);
}

Measurements ExampleMeasurements() {
  Measurements m;
  m.longspan_version = "0.1.0";
  m.base = {.name = "longspan-base",
            .file = "longspan-base.gguf",
            .bytes = 21'345'678,
            .parameters = 9'876'544,
            .layers = 6,
            .dim = 256,
            .heads = 8,
            .kv_heads = 4,
            .vocab_size = 4096,
            .context = 512,
            .rope_theta = 10000};
  m.data = {.sources = {"/usr/share/perl/5.36.0/pod"},
            .documents_kept = 173,
            .documents_short = 31,
            .documents_long = 7,
            .documents_duplicate = 1'913,
            .tokens = 2'345'671,
            .validation_tokens = 117'283};
  m.training = {.steps = 300,
                .tokens = 1'228'800,
                .trainable_parameters = 393'217,
                .adapter_scale = 8,
                .seconds = 312.4,
                .peak_memory_bytes = 734'003'200,
                .processor = "Example CPU @ 2.0 GHz",
                .threads = 2,
                .points = {}};
  for (int step = 1; step <= 300; ++step) {
    const double t = step / 300.0;
    TrainingPoint point{
        step,
        step * 4096,
        3.1 + 1.6 * std::exp(-9 * t) + 0.12 * std::sin(step * 12.9898) * std::cos(step * 4.1414),
        3e-4 * (1 + std::cos(3.14159 * t)) / 2,
        {}};
    if (step == 1 || step % 50 == 0) point.validation = 3.16 + 1.55 * std::exp(-8.5 * t);
    m.training.points.push_back(point);
  }
  m.before = {.file = "base/f16.gguf",
              .text = "held-out Perl documentation",
              .stride = 256,
              .max_tokens = 16384,
              .passkey_seed = 7,
              .perplexity = {},
              .passkey = {}};
  m.after = {.file = "stretched-F16.gguf",
             .text = m.before.text,
             .stride = 256,
             .max_tokens = 16384,
             .passkey_seed = 7,
             .perplexity = {},
             .passkey = {}};
  m.before.perplexity = {{512, 24.13, 24.51, 117'000},
                         {1024, 58.72, 59.91, 117'001},
                         {2048, 211.4, 219.6, 117'002},
                         {4096, 702.8, 731.2, 117'003}};
  m.after.perplexity = {{512, 24.37, 24.77, 117'000},
                        {1024, 22.94, 23.31, 117'001},
                        {2048, 21.86, 22.17, 117'002},
                        {4096, 21.05, 21.36, 117'003}};
  m.scaled = m.before;
  m.scaled.file = "base/f16.gguf with the released RoPE, untrained";
  m.scaled.perplexity = {{512, 27.31, 27.9, 117'000},
                         {1024, 26.42, 26.8, 117'001},
                         {2048, 26.73, 27.2, 117'002},
                         {4096, 28.94, 29.5, 117'003}};
  m.before.retention = {{"novel.txt", {{512, 74.12, 75, 16'384}, {4096, 881.7, 890, 16'384}}}};
  m.scaled.retention = {{"novel.txt", {{512, 92.45, 93, 16'384}, {4096, 84.06, 85, 16'384}}}};
  m.after.retention = {{"novel.txt", {{512, 76.31, 77, 16'384}, {4096, 74.87, 75, 16'384}}}};
  for (const std::int64_t length : {256, 512, 1024, 2048, 3072, 4096}) {
    for (const double depth : {0.0, 0.25, 0.5, 0.75, 1.0}) {
      const bool inside = length <= 512;
      m.before.passkey.push_back({length, depth, 20,
                                  inside                          ? 20
                                  : length == 1024 && depth > 0.6 ? 11
                                  : depth == 1                    ? 3
                                                                  : 0});
      m.after.passkey.push_back({length, depth, 20, length == 4096 && depth < 0.3 ? 18 : 20});
    }
  }
  m.quantization = {.reference = "F16", .context = 512, .tokens = 16'384, .rows = {}};
  m.quantization.rows = {
      {"F16", "longspan-4k-F16.gguf", 19'800'000, 16.02, 24.371, 0, 0, 0, 0, 1},
      {"Q8_0", "longspan-4k-Q8_0.gguf", 10'560'000, 8.51, 24.375, 0.00041, 0.00022, 0.0031, 0.0127, 0.9914},
      {"Q4_K_M", "longspan-4k-Q4_K_M.gguf", 6'210'000, 4.97, 24.912, 0.0233, 0.0148, 0.1702, 0.8121, 0.9377}};
  m.huggingface = {"BF16", {{"huggingface/config.json", 812}, {"huggingface/model.safetensors", 19'753'088}}};
  m.stages = {{"prepare", 4.1}, {"train", 312.4}, {"merge", 0.8}, {"quantize", 2.7}, {"evaluate", 143.9}};
  m.energy = {
      .power_watts = 65, .power_source = "the recipe", .grid_g_per_kwh = 437, .grid_source = "the recipe"};
  m.sample = {.file = "longspan-4k-Q4_K_M.gguf",
              .prompt = "Once upon a time",
              .text = " there was a small house by the sea.",
              .temperature = 0.7,
              .repeat_penalty = 1.3,
              .seed = 42};
  return m;
}

}  // namespace longspan
