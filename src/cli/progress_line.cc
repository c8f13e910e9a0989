#include "cli/progress_line.h"

#include <fmt/format.h>

#include <algorithm>

namespace longspan {
namespace {

std::string Time(double s) {
  const auto total = static_cast<long>(s + 0.5);
  if (total >= 3600) return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
  return fmt::format("{}:{:02}", total / 60, total % 60);
}

std::string Rate(double r) {
  if (r >= 1e6) return fmt::format("{:.1f}M", r / 1e6);
  if (r >= 1e4) return fmt::format("{:.1f}k", r / 1e3);
  if (r < 0.1) return fmt::format("{:.2g}", r);
  return r >= 100 ? fmt::format("{:.0f}", r) : fmt::format("{:.1f}", r);
}

// How much of a whole is done, and how much of that was done before the start.
struct Share {
  std::int64_t done, resumed, total;

  double Fraction() const {
    return std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
  }
  double SecondsLeft(double elapsed) const {
    return elapsed * static_cast<double>(total - done) / static_cast<double>(done - resumed);
  }
};

}  // namespace

std::string ProgressLine(const ProgressNumbers& n, double elapsed, bool bar, ProgressEnd end) {
  constexpr int kBar = 24;
  const Share share =
      n.work_total > 0 ? Share{n.work_done, n.work_resumed, n.work_total} : Share{n.done, n.resumed, n.total};
  std::string line = fmt::format("{:<18} ", n.label);
  if (n.total > 0) {
    if (bar) {
      const int full = static_cast<int>(share.Fraction() * kBar);
      for (int i = 0; i < kBar; ++i) line += i < full ? "█" : "░";
    }
    line += fmt::format(" {:3.0f}% {}/{} {}", 100 * share.Fraction(), n.done, n.total, n.unit);
  } else {
    line += fmt::format("{} {}", n.done, n.unit);
  }
  if (n.done > n.resumed && elapsed > 0) {
    line += fmt::format("  {}/s", Rate(static_cast<double>(n.done - n.resumed) / elapsed));
  }
  if (end == ProgressEnd::kFinished) {
    line += fmt::format("  in {}", Time(elapsed));
  } else if (share.done > share.resumed && share.total > share.done && elapsed > 0) {
    line += fmt::format("  {} left", Time(share.SecondsLeft(elapsed)));
  }
  if (!n.note.empty()) line += "  " + n.note;
  return line;
}

}  // namespace longspan
