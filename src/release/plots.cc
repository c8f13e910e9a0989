#include "release/plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "release/charts.h"

namespace longspan {
namespace {

// The mean of a window of points around each, wide enough that a noisy curve shows its course.
std::vector<Point> Smoothed(const std::vector<Point>& points) {
  const auto half = static_cast<std::ptrdiff_t>(std::max<std::size_t>(points.size() / 40, 1));
  const auto size = static_cast<std::ptrdiff_t>(points.size());
  std::vector<Point> smooth;
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    // The window shrinks at the ends but stays centred. Otherwise the mean would lag where the loss falls
    // fastest.
    const std::ptrdiff_t reach = std::min({half, i, size - 1 - i});
    double sum = 0;
    for (std::ptrdiff_t j = i - reach; j <= i + reach; ++j) sum += points[j].y;
    smooth.push_back({points[i].x, sum / static_cast<double>(2 * reach + 1)});
  }
  return smooth;
}

std::vector<Point> Curve(const Evaluation& evaluation) {
  std::vector<Point> points;
  for (const PerplexityPoint& p : evaluation.perplexity)
    points.push_back({static_cast<double>(p.context), p.perplexity});
  std::ranges::sort(points, {}, &Point::x);
  return points;
}

HeatPanel PasskeyPanel(const std::string& title, const std::vector<PasskeyCell>& cells,
                       const std::set<std::int64_t>& lengths, const std::set<double>& depths) {
  HeatPanel panel{title, {}};
  for (const double depth : depths) {
    auto& row = panel.cells.emplace_back();
    for (const std::int64_t length : lengths) {
      const auto cell = std::ranges::find_if(
          cells, [&](const PasskeyCell& c) { return c.length == length && c.depth == depth; });
      row.emplace_back();
      if (cell != cells.end() && cell->trials > 0) {
        row.back() = static_cast<double>(cell->solved) / static_cast<double>(cell->trials);
      }
    }
  }
  return panel;
}

}  // namespace

std::string LossPlot(const TrainingFacts& training) {
  std::vector<Point> loss, validation;
  for (const TrainingPoint& p : training.points) {
    if (std::isfinite(p.loss)) loss.push_back({static_cast<double>(p.step), p.loss});  // a step left out
    if (p.validation) validation.push_back({static_cast<double>(p.step), *p.validation});
  }
  LineChart chart;
  chart.title = "Loss during training";
  chart.description = fmt::format("Training loss over {} steps and {} tokens.", WithCommas(training.steps),
                                  WithCommas(training.tokens));
  chart.x.label = "optimizer step";
  chart.y.label = "cross-entropy, nats per token";
  chart.series.push_back({.name = "each step", .points = loss, .color = ink::kBlue, .faint = true});
  chart.series.push_back({.name = "training, running mean", .points = Smoothed(loss), .color = ink::kBlue});
  if (!validation.empty()) {
    chart.series.push_back(
        {.name = "validation", .points = validation, .color = ink::kVermilion, .markers = true});
  }
  return Draw(chart);
}

std::string PerplexityPlot(const Measurements& m) {
  LineChart chart;
  chart.title = "Perplexity against context length";
  chart.description =
      fmt::format("Sliding-window perplexity of {} before and after stretching.", m.base.name);
  chart.x = {.label = "context length, tokens", .scale = Scale::kLog, .ticks = {}};
  chart.y = {.label = "perplexity (lower is better)", .scale = Scale::kLog, .ticks = {}};
  chart.series.push_back({.name = "before",
                          .points = Curve(m.before),
                          .color = ink::kVermilion,
                          .dashed = true,
                          .markers = true});
  if (!m.scaled.perplexity.empty()) {
    chart.series.push_back({.name = "scaled, untrained",
                            .points = Curve(m.scaled),
                            .color = ink::kGreen,
                            .dashed = true,
                            .markers = true});
  }
  chart.series.push_back({.name = "after", .points = Curve(m.after), .color = ink::kBlue, .markers = true});
  std::set<double> contexts;
  for (const Series& series : chart.series) {
    for (const Point& p : series.points) contexts.insert(p.x);
  }
  if (contexts.size() <= 10) chart.x.ticks.assign(contexts.begin(), contexts.end());
  if (m.base.context > 0) {
    chart.marks.push_back(
        {static_cast<double>(m.base.context), fmt::format("native window {}", WithCommas(m.base.context))});
  }
  return Draw(chart);
}

std::string PasskeyPlot(const Measurements& m) {
  std::set<std::int64_t> lengths;
  std::set<double> depths;
  for (const auto* cells : {&m.before.passkey, &m.after.passkey}) {
    for (const PasskeyCell& cell : *cells) {
      lengths.insert(cell.length);
      depths.insert(cell.depth);
    }
  }
  HeatMap map;
  map.title = "Passkey retrieval, % of trials";
  map.description =
      "Share of hidden keys that the model repeats, by prompt length and depth of the key, before and after.";
  map.column_label = "prompt length, tokens";
  map.row_label = "depth of the key";
  for (const std::int64_t length : lengths) map.columns.push_back(WithCommas(length));
  for (const double depth : depths) map.rows.push_back(fmt::format("{:.0f}%", 100 * depth));
  map.panels = {PasskeyPanel("Before", m.before.passkey, lengths, depths),
                PasskeyPanel("After", m.after.passkey, lengths, depths)};
  map.mark_after_column = static_cast<std::size_t>(
      std::ranges::count_if(lengths, [&](std::int64_t length) { return length <= m.base.context; }));
  map.mark_label = fmt::format("dashed: native window {}", WithCommas(m.base.context));
  return Draw(map);
}

}  // namespace longspan
