#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"

namespace longspan {
namespace {

using std::chrono::duration;
using std::chrono::seconds;

std::string Time(double s) {
  const auto total = static_cast<long>(s + 0.5);
  if (total >= 3600) return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
  return fmt::format("{}:{:02}", total / 60, total % 60);
}

std::string Rate(double r) {
  if (r >= 1e6) return fmt::format("{:.1f}M", r / 1e6);
  if (r >= 1e4) return fmt::format("{:.1f}k", r / 1e3);
  return r >= 100 ? fmt::format("{:.0f}", r) : fmt::format("{:.1f}", r);
}

// To standard error. A full disk under a log is no reason to end the work.
void Show(const std::string& text) { std::fputs(text.c_str(), stderr); }

}  // namespace

TerminalProgress::TerminalProgress() : terminal_(::isatty(STDERR_FILENO) != 0) {}

void TerminalProgress::Start(std::string_view label, std::int64_t total, std::string_view unit) {
  label_ = label;
  unit_ = unit;
  note_.clear();
  total_ = total;
  done_ = resumed_ = 0;
  start_ = drawn_ = Clock::now();
  Draw(false);
}

void TerminalProgress::Resume(std::int64_t done) { done_ = resumed_ = done; }

void TerminalProgress::Update(std::int64_t done, std::string_view note) {
  done_ = done;
  if (!note.empty()) note_ = note;
  const auto now = Clock::now();
  if (now - drawn_ < (terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(10000))) return;
  drawn_ = now;
  Draw(false);
}

void TerminalProgress::Finish(std::string_view note) {
  if (!note.empty()) note_ = note;
  Draw(true);
  label_.clear();
}

void TerminalProgress::Message(std::string_view line) {
  if (terminal_ && !label_.empty()) Show("\r\033[K");
  Show(fmt::format("{}\n", line));
  if (terminal_ && !label_.empty()) Draw(false);
}

void TerminalProgress::Draw(bool final) {
  constexpr int kBar = 24;
  const double elapsed = duration<double>(Clock::now() - start_).count();
  const double rate = elapsed > 0 ? static_cast<double>(done_ - resumed_) / elapsed : 0;
  std::string line = fmt::format("{:<18} ", label_);
  if (total_ > 0) {
    const double share = std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0);
    if (terminal_) {
      const int full = static_cast<int>(share * kBar);
      for (int i = 0; i < kBar; ++i) line += i < full ? "█" : "░";
    }
    line += fmt::format(" {:3.0f}% {}/{} {}", 100 * share, done_, total_, unit_);
  } else {
    line += fmt::format("{} {}", done_, unit_);
  }
  if (done_ > 0) line += fmt::format("  {}/s", Rate(rate));
  if (final)
    line += fmt::format("  in {}", Time(elapsed));
  else if (done_ > 0 && total_ > done_ && rate > 0)
    line += fmt::format("  {} left", Time(static_cast<double>(total_ - done_) / rate));
  if (!note_.empty()) line += "  " + note_;
  if (terminal_)
    Show(fmt::format("\r\033[K{}{}", line, final ? "\n" : ""));
  else if (final || done_ > 0)
    Show(line + "\n");
  std::fflush(stderr);
}

void FlushOutput() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return;
  Fail(ErrorKind::kIo, "standard output: {}",
       errno != 0 ? std::strerror(errno) : "some of what was printed could not be written");
}

Progress& Terminal() {
  static TerminalProgress progress;
  return progress;
}

}  // namespace longspan
