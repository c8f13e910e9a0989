#include "cli/progress_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "cli/time_text.h"

namespace longspan {
namespace {

std::string Rate(double r) {
  if (r >= 1e6) return fmt::format("{:.1f}M", r / 1e6);
  if (r >= 1e4) return fmt::format("{:.1f}k", r / 1e3);
  if (r < 0.1) return fmt::format("{:.2g}", r);
  return r >= 100 ? fmt::format("{:.0f}", r) : fmt::format("{:.1f}", r);
}

// "19/20", or "19.1/20" with the part of a unit that is done, rounded down.
std::string Counted(const ProgressNumbers& n, ProgressEnd end) {
  if (n.work_total == 0 || end == ProgressEnd::kFinished) return fmt::format("{}/{}", n.done, n.total);
  return fmt::format("{}.{}/{}", n.done, static_cast<int>(std::clamp(n.part, 0.0, 0.99) * 10), n.total);
}

// Of what the count shows.
double Share(const ProgressNumbers& n) {
  return std::clamp((static_cast<double>(n.done) + n.part) / static_cast<double>(n.total), 0.0, 1.0);
}

// From the work where it is said, because units differ.
std::optional<double> SecondsLeft(const ProgressNumbers& n, double elapsed) {
  const bool work = n.work_total > 0;
  const std::int64_t total = work ? n.work_total : n.total, done = work ? n.work_done : n.done,
                     resumed = work ? n.work_resumed : n.resumed;
  if (done <= resumed || total <= done || elapsed <= 0) return std::nullopt;
  return elapsed * static_cast<double>(total - done) / static_cast<double>(done - resumed);
}

}  // namespace

std::string ProgressLine(const ProgressNumbers& n, double elapsed, bool bar, ProgressEnd end) {
  constexpr int kBar = 24;
  std::string line = fmt::format("{:<18} ", n.label);
  if (n.total > 0) {
    if (bar) {
      const int full = static_cast<int>(Share(n) * kBar);
      for (int i = 0; i < kBar; ++i) line += i < full ? "█" : "░";
    }
    line += fmt::format(" {:3.0f}% {} {}", std::floor(100 * Share(n)), Counted(n, end), n.unit);
  } else {
    line += fmt::format("{} {}", n.done, n.unit);
  }
  if (n.done > n.resumed && elapsed > 0) {
    line += fmt::format("  {}/s", Rate(static_cast<double>(n.done - n.resumed) / elapsed));
  }
  if (end == ProgressEnd::kFinished) {
    line += fmt::format("  in {}", ClockTime(elapsed));
  } else if (const auto left = SecondsLeft(n, elapsed)) {
    line += fmt::format("  {} left", ClockTime(*left));
  }
  if (!n.note.empty()) line += "  " + n.note;
  return line;
}

}  // namespace longspan
