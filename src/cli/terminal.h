// What the program shows a person: progress on stderr, results on stdout.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "base/progress.h"
#include "cli/progress_line.h"

namespace longspan {

// A bar with rate and time left where stderr is a terminal; a plain line now and then where it is a log. The
// work goes on even if stderr is closed, for example because the terminal was closed.
class TerminalProgress : public Progress {
 public:
  TerminalProgress();
  void Start(std::string_view label, std::int64_t total, std::string_view unit) override;
  void Resume(std::int64_t done) override;
  void Update(std::int64_t done, std::string_view note) override;
  void Work(std::int64_t done, std::int64_t total) override;
  void Part(double of_unit) override;
  void Finish(std::string_view note) override;
  void Message(std::string_view line) override;
  // Ends the line of work that was broken off, so that what follows begins a new one.
  void Leave();

 private:
  using Clock = std::chrono::steady_clock;
  void DrawIfTime();
  void Draw(ProgressEnd end);

  bool terminal_;
  ProgressNumbers numbers_;
  Clock::time_point start_, drawn_;
};

// Writes out what was printed. Error(kIo) where it, or anything printed before, did not reach standard
// output.
void FlushOutput();

// The one listener of this process.
TerminalProgress& Terminal();

}  // namespace longspan
