#include "release/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace longspan {
namespace {

constexpr double kWidth = 760;
constexpr double kHeight = 420;
constexpr double kLeft = 76, kRight = 28, kTop = 84, kBottom = 60;

bool Drawable(double value, Scale scale) {
  return std::isfinite(value) && (scale == Scale::kLinear || value > 0);
}

struct Range {
  double low = 0;
  double high = 1;
};

// Maps values to pixels along one axis.
class Mapping {
 public:
  Mapping(Range range, Scale scale, double from, double to) : scale_(scale), from_(from), to_(to) {
    low_ = Transform(range.low);
    high_ = Transform(range.high);
  }
  double operator()(double value) const {
    return from_ + (Transform(value) - low_) / (high_ - low_) * (to_ - from_);
  }

 private:
  double Transform(double value) const { return scale_ == Scale::kLog ? std::log(value) : value; }
  Scale scale_;
  double from_, to_, low_, high_;
};

Range RangeOf(const LineChart& chart, double Point::*member, const Axis& axis) {
  Range range{INFINITY, -INFINITY};
  const auto include = [&](double value) {
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  };
  for (const Series& series : chart.series) {
    for (const Point& point : series.points) {
      if (Drawable(point.x, chart.x.scale) && Drawable(point.y, chart.y.scale)) include(point.*member);
    }
  }
  for (const double tick : axis.ticks) include(tick);
  if (range.low > range.high) range = {1, 2};  // nothing to draw: an empty frame
  if (range.low == range.high) {
    const double spread = range.low == 0 ? 1 : std::abs(range.low) * 0.1;
    range = {range.low - spread, range.high + spread};
  }
  return range;
}

// Room above and below the curves, as a share of the axis.
Range Padded(Range range, Scale scale, double share) {
  if (scale == Scale::kLog) {
    const double factor = std::pow(range.high / range.low, share);
    return {range.low / factor, range.high * factor};
  }
  const double spread = (range.high - range.low) * share;
  // Values that are all positive do not need an axis that goes below zero.
  return {range.low >= 0 ? std::max(0.0, range.low - spread) : range.low - spread, range.high + spread};
}

std::string TickLabel(double value) {
  const double size = std::abs(value);
  if (size >= 1e15) return fmt::format("{:.0e}", value);
  if (size >= 1 && std::abs(value - std::round(value)) < 1e-9 * size) return WithCommas(std::llround(value));
  return size != 0 && size < 1e-3 ? fmt::format("{:.0e}", value) : fmt::format("{:.4g}", value);
}

void DrawTitle(Svg& svg, const std::string& title) { svg.Text({24, 34}, title, {.size = 17, .bold = true}); }

void DrawLegend(Svg& svg, const std::vector<Series>& all) {
  double x = 24;
  for (const Series& series : all) {
    const double y = 58;
    svg.Line({x, y - 4}, {x + 28, y - 4},
             {.color = series.color,
              .width = 2.5,
              .dashes = series.dashed ? "7 3" : "",
              .opacity = series.faint ? 0.35 : 1});
    if (series.markers) svg.Circle({x + 14, y - 4}, 4, series.color);
    svg.Text({x + 35, y}, series.name, {.size = 12.5, .color = ink::kMuted});
    x += 35 + EstimatedTextWidth(series.name, 12.5) + 22;
  }
}

void DrawSeries(Svg& svg, const LineChart& chart, const Series& series, const Mapping& x, const Mapping& y) {
  std::vector<Point> points;
  for (const Point& p : series.points) {
    if (Drawable(p.x, chart.x.scale) && Drawable(p.y, chart.y.scale)) points.push_back({x(p.x), y(p.y)});
  }
  svg.Polyline(points, {.color = series.color,
                        .width = series.faint ? 1.2 : 2.5,
                        .dashes = series.dashed ? "6 4" : "",
                        .opacity = series.faint ? 0.35 : 1});
  if (!series.markers) return;
  for (const Point& p : series.points) {
    if (!Drawable(p.x, chart.x.scale) || !Drawable(p.y, chart.y.scale)) continue;
    svg.Circle(
        {x(p.x), y(p.y)}, 4.5, series.color,
        fmt::format("{}: {} at {}", series.name, TickLabel(std::round(p.y * 1000) / 1000), TickLabel(p.x)));
  }
}

}  // namespace

std::string WithCommas(std::int64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const std::size_t left = digits.size() - i;
    if (left % 3 == 0 && !text.empty() && text != "-") text += ',';
    text += digits[i];
  }
  return text;
}

std::vector<double> ChooseTicks(double low, double high, Scale scale, int about) {
  constexpr std::array kSteps = {1.0, 2.0, 5.0, 10.0};
  std::vector<double> ticks;
  if (scale == Scale::kLog && high / low >= 4) {
    // 1-2-5 within a few decades, whole decades beyond.
    const bool fine = high / low < 1e3;
    for (int decade = static_cast<int>(std::floor(std::log10(low))); decade <= std::log10(high); ++decade) {
      for (const double step : {1.0, 2.0, 5.0}) {
        if (step != 1 && !fine) continue;
        const double tick = step * std::pow(10.0, decade);
        if (tick >= low * 0.9999 && tick <= high * 1.0001) ticks.push_back(tick);
      }
    }
    return ticks;
  }
  const double rough = (high - low) / about;
  const double magnitude = std::pow(10.0, std::floor(std::log10(rough)));
  const double step = magnitude * *std::ranges::find_if(kSteps, [&](double s) {
                        return s * magnitude >= rough * 0.9999 || s == 10;
                      });
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i)
    ticks.push_back(i * step + 0.0);  // + 0 turns -0 into 0
  return ticks;
}

std::string Draw(const LineChart& chart) {
  Svg svg(kWidth, kHeight, chart.title, chart.description);
  DrawTitle(svg, chart.title);
  DrawLegend(svg, chart.series);

  const double right = kWidth - kRight, bottom = kHeight - kBottom;
  const Range x_range = Padded(RangeOf(chart, &Point::x, chart.x), chart.x.scale, 0.02);
  const Range y_range = Padded(RangeOf(chart, &Point::y, chart.y), chart.y.scale, 0.06);
  const Mapping x(x_range, chart.x.scale, kLeft, right);
  const Mapping y(y_range, chart.y.scale, bottom, kTop);

  const auto ticks = [](const Axis& axis, const Range& range, int about) {
    return axis.ticks.empty() ? ChooseTicks(range.low, range.high, axis.scale, about) : axis.ticks;
  };
  for (const double tick : ticks(chart.y, y_range, 6)) {
    svg.Line({kLeft, y(tick)}, {right, y(tick)}, {.color = ink::kGrid});
    svg.Text({kLeft - 10, y(tick) + 4}, TickLabel(tick), {.anchor = Anchor::kEnd, .color = ink::kMuted});
  }
  for (const double tick : ticks(chart.x, x_range, 8)) {
    svg.Line({x(tick), bottom}, {x(tick), bottom + 5}, {.color = ink::kAxis});
    svg.Text({x(tick), bottom + 20}, TickLabel(tick), {.anchor = Anchor::kMiddle, .color = ink::kMuted});
  }
  svg.Line({kLeft, bottom}, {right, bottom}, {.color = ink::kAxis, .width = 1.2});
  svg.Text({(kLeft + right) / 2, kHeight - 18}, chart.x.label, {.size = 13, .anchor = Anchor::kMiddle});
  svg.Text({22, (kTop + bottom) / 2}, chart.y.label, {.size = 13, .anchor = Anchor::kMiddle, .rotate = -90});

  for (const Mark& mark : chart.marks) {
    if (!Drawable(mark.x, chart.x.scale) || mark.x < x_range.low || mark.x > x_range.high) continue;
    svg.Line({x(mark.x), kTop}, {x(mark.x), bottom}, {.color = ink::kMuted, .width = 1.2, .dashes = "3 4"});
    const bool flip = x(mark.x) + EstimatedTextWidth(mark.label, 12) + 8 > right;
    svg.Text({x(mark.x) + (flip ? -7 : 7), kTop + 12}, mark.label,
             {.anchor = flip ? Anchor::kEnd : Anchor::kStart, .color = ink::kMuted});
  }
  for (const Series& series : chart.series) DrawSeries(svg, chart, series, x, y);
  return std::move(svg).Finish();
}

}  // namespace longspan
