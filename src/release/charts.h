// Line charts and heat maps as SVG text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "release/svg.h"

namespace longspan {

enum class Scale { kLinear, kLog };

struct Axis {
  std::string label;
  Scale scale = Scale::kLinear;
  std::vector<double> ticks;  // where a few values matter, such as context lengths; empty: chosen
};

struct Series {
  std::string name;
  std::vector<Point> points;  // points that are not finite, or not positive on a log axis, are left out
  std::string_view color = ink::kBlue;
  bool dashed = false;
  bool markers = false;
  bool faint = false;  // drawn behind the others, such as a noisy raw curve
};

// A labelled vertical line, such as the end of the native window.
struct Mark {
  double x = 0;
  std::string label;
};

struct LineChart {
  std::string title;
  std::string description;  // for screen readers
  Axis x;
  Axis y;
  std::vector<Series> series;
  std::vector<Mark> marks;
};

std::string Draw(const LineChart& chart);

// Shares of 0 to 1 over columns and rows; several panels side by side share the rows and the legend.
struct HeatPanel {
  std::string title;
  std::vector<std::vector<std::optional<double>>> cells;  // [row][column]; empty where not measured
};

struct HeatMap {
  std::string title;
  std::string description;
  std::string column_label;
  std::string row_label;
  std::vector<std::string> columns;
  std::vector<std::string> rows;
  std::vector<HeatPanel> panels;
  std::optional<std::size_t> mark_after_column;  // a dashed line after this many columns
  std::string mark_label;
};

std::string Draw(const HeatMap& map);

// Numbers as axes and tables show them: 512, 4k and 64k as 512, 4,096 and 65,536.
std::string WithCommas(std::int64_t value);

// Tick positions for [low, high]: round steps on a linear axis, 1-2-5 on a logarithmic one.
std::vector<double> ChooseTicks(double low, double high, Scale scale, int about);

}  // namespace longspan
