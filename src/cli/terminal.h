// What the program shows a person: progress on stderr, results on stdout.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/progress.h"

namespace longspan {

// A bar with rate and time left where stderr is a terminal; a plain line now and then where it is a log.
class TerminalProgress : public Progress {
 public:
  TerminalProgress();
  void Start(std::string_view label, std::int64_t total, std::string_view unit) override;
  void Resume(std::int64_t done) override;
  void Update(std::int64_t done, std::string_view note) override;
  void Finish(std::string_view note) override;
  void Message(std::string_view line) override;

 private:
  using Clock = std::chrono::steady_clock;
  void Draw(bool final);

  bool terminal_;
  std::string label_, unit_, note_;
  std::int64_t total_ = 0, done_ = 0, resumed_ = 0;
  Clock::time_point start_, drawn_;
};

// Writes out what was printed. Error(kIo) where it, or anything printed before, did not reach standard
// output.
void FlushOutput();

// The one listener of this process.
Progress& Terminal();

}  // namespace longspan
