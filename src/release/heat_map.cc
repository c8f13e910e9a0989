#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "release/charts.h"

namespace longspan {
namespace {

using Rgb = std::array<double, 3>;

// From pale sand (nothing found) over teal to deep blue (all found): lightness falls steadily, so the map
// also reads in grey.
constexpr std::array<Rgb, 4> kRamp = {{{250, 238, 221}, {158, 208, 199}, {52, 140, 178}, {20, 66, 128}}};
constexpr std::string_view kAbsent = "#f1f2f4";
constexpr double kCellHeight = 34, kGap = 2;

Rgb RampColor(double share) {
  const double at = std::clamp(share, 0.0, 1.0) * static_cast<double>(kRamp.size() - 1);
  const auto i = std::min(static_cast<std::size_t>(at), kRamp.size() - 2);
  Rgb color;
  for (std::size_t c = 0; c < 3; ++c)
    color[c] = std::lerp(kRamp[i][c], kRamp[i + 1][c], at - static_cast<double>(i));
  return color;
}

std::string Hex(const Rgb& color) {
  return fmt::format("#{:02x}{:02x}{:02x}", std::lround(color[0]), std::lround(color[1]),
                     std::lround(color[2]));
}

// Dark or white letters, whichever stand out on `color` (WCAG's relative luminance, without its gamma's toe).
std::string_view LetterColor(const Rgb& color) {
  const auto linear = [](double channel) { return std::pow(channel / 255, 2.2); };
  const double luminance = 0.2126 * linear(color[0]) + 0.7152 * linear(color[1]) + 0.0722 * linear(color[2]);
  return luminance > 0.25 ? ink::kText : ink::kPaper;
}

void DrawRampLegend(Svg& svg, double right) {
  constexpr int kSteps = 40;
  constexpr double kLength = 120;
  for (int i = 0; i < kSteps; ++i) {
    svg.Rectangle({right - 36 - kLength + i * kLength / kSteps, 26}, kLength / kSteps + 0.5, 10,
                  Hex(RampColor((i + 0.5) / kSteps)));
  }
  svg.Text({right - 36 - kLength - 6, 35}, "0%", {.size = 11, .anchor = Anchor::kEnd, .color = ink::kMuted});
  svg.Text({right - 30, 35}, "100%", {.size = 11, .color = ink::kMuted});
}

}  // namespace

std::string Draw(const HeatMap& map) {
  constexpr double kLeft = 76, kRight = 24, kTop = 92, kBottom = 62, kBetween = 34;
  const double columns = static_cast<double>(std::max<std::size_t>(map.columns.size(), 1));
  const double panels = static_cast<double>(std::max<std::size_t>(map.panels.size(), 1));
  const double cell_width = std::clamp(330 / columns, 34.0, 64.0);
  const double panel_width = cell_width * columns;
  // Wide enough for the title and the ramp, however few the cells are.
  const double width = std::max({kLeft + panels * panel_width + (panels - 1) * kBetween + kRight, 520.0,
                                 EstimatedTextWidth(map.title, 17) + 260});
  const double bottom = kTop + kCellHeight * static_cast<double>(map.rows.size());
  Svg svg(width, bottom + kBottom, map.title, map.description);
  svg.Text({24, 36}, map.title, {.size = 17, .bold = true});
  DrawRampLegend(svg, width - kRight);
  svg.Text({22, (kTop + bottom) / 2}, map.row_label, {.size = 13, .anchor = Anchor::kMiddle, .rotate = -90});

  double left = kLeft;
  for (std::size_t p = 0; p < map.panels.size(); ++p, left += panel_width + kBetween) {
    const HeatPanel& panel = map.panels[p];
    svg.Text({left, kTop - 14}, panel.title, {.size = 13.5, .bold = true});
    for (std::size_t r = 0; r < map.rows.size(); ++r) {
      const double y = kTop + kCellHeight * static_cast<double>(r);
      if (p == 0) svg.Text({left - 10, y + 21}, map.rows[r], {.anchor = Anchor::kEnd, .color = ink::kMuted});
      for (std::size_t c = 0; c < map.columns.size(); ++c) {
        const double x = left + cell_width * static_cast<double>(c);
        const bool measured =
            r < panel.cells.size() && c < panel.cells[r].size() && panel.cells[r][c].has_value();
        const Rgb color = measured ? RampColor(*panel.cells[r][c]) : Rgb{};
        svg.Rectangle({x + kGap / 2, y + kGap / 2}, cell_width - kGap, kCellHeight - kGap,
                      measured ? Hex(color) : std::string(kAbsent), 3);
        const std::string label = measured ? fmt::format("{:.0f}", 100 * *panel.cells[r][c]) : "–";
        svg.Text({x + cell_width / 2, y + 21.5}, label,
                 {.anchor = Anchor::kMiddle, .color = measured ? LetterColor(color) : ink::kMuted});
      }
    }
    for (std::size_t c = 0; c < map.columns.size(); ++c) {
      svg.Text({left + cell_width * (static_cast<double>(c) + 0.5), bottom + 18}, map.columns[c],
               {.size = 11.5, .anchor = Anchor::kMiddle, .color = ink::kMuted});
    }
    if (map.mark_after_column && *map.mark_after_column < map.columns.size()) {
      const double x = left + cell_width * static_cast<double>(*map.mark_after_column);
      svg.Line({x, kTop - 8}, {x, bottom + 6}, {.color = ink::kText, .width = 1.5, .dashes = "4 3"});
      svg.Text({left + panel_width, kTop - 14}, map.mark_label,
               {.size = 11.5, .anchor = Anchor::kEnd, .color = ink::kMuted});
    }
    svg.Text({left + panel_width / 2, bottom + 42}, map.column_label,
             {.size = 13, .anchor = Anchor::kMiddle});
  }
  return std::move(svg).Finish();
}

}  // namespace longspan
