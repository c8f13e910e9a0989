#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "base/error.h"

namespace longspan {
namespace {

// Unlike fmt::print, this does not throw, because a lost message must not end the work.
void Write(const std::string& text) {
  [[maybe_unused]] const std::size_t written = std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

TerminalProgress::TerminalProgress() : terminal_(::isatty(STDERR_FILENO) != 0) {}

void TerminalProgress::Start(std::string_view label, std::int64_t total, std::string_view unit) {
  numbers_ = {};
  numbers_.label = label;
  numbers_.unit = unit;
  numbers_.total = total;
  start_ = drawn_ = Clock::now();
  Draw(ProgressEnd::kGoesOn);
}

void TerminalProgress::Resume(std::int64_t done) { numbers_.done = numbers_.resumed = done; }

void TerminalProgress::Update(std::int64_t done, std::string_view note) {
  numbers_.done = done;
  numbers_.part = 0;
  if (!note.empty()) numbers_.note = note;
  DrawIfTime();
}

void TerminalProgress::Work(std::int64_t done, std::int64_t total) {
  if (numbers_.work_total == 0) numbers_.work_resumed = done;
  numbers_.work_done = done;
  numbers_.work_total = total;
  DrawIfTime();
}

void TerminalProgress::Part(double of_unit) {
  numbers_.part = of_unit;
  DrawIfTime();
}

void TerminalProgress::Finish(std::string_view note) {
  if (!note.empty()) numbers_.note = note;
  Draw(ProgressEnd::kFinished);
  numbers_ = {};
}

void TerminalProgress::Message(std::string_view line) {
  const bool drawing = terminal_ && !numbers_.label.empty();
  Write(fmt::format("{}{}\n", drawing ? "\r\033[K" : "", line));
  if (drawing) Draw(ProgressEnd::kGoesOn);
}

void TerminalProgress::Leave() {
  if (terminal_ && !numbers_.label.empty()) Write("\n");
  numbers_ = {};
}

void TerminalProgress::DrawIfTime() {
  const auto now = Clock::now();
  if (now - drawn_ < (terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(10000))) return;
  drawn_ = now;
  Draw(ProgressEnd::kGoesOn);
}

void TerminalProgress::Draw(ProgressEnd end) {
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  const std::string line = ProgressLine(numbers_, elapsed, terminal_, end);
  const bool finished = end == ProgressEnd::kFinished;
  if (terminal_)
    Write(fmt::format("\r\033[K{}{}", line, finished ? "\n" : ""));
  else if (finished || numbers_.begun())
    Write(line + "\n");
}

void FlushOutput() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return;
  Fail(ErrorKind::kIo, "standard output: {}",
       errno != 0 ? std::strerror(errno) : "some of what was printed could not be written");
}

TerminalProgress& Terminal() {
  static TerminalProgress progress;
  return progress;
}

}  // namespace longspan
