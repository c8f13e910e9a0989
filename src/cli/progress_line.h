// A line that tells a person how far a piece of work is.
#pragma once

#include <cstdint>
#include <string>

namespace longspan {

struct ProgressNumbers {
  std::string label, unit, note;
  std::int64_t total = 0, done = 0, resumed = 0;                 // units; total 0: unknown
  std::int64_t work_total = 0, work_done = 0, work_resumed = 0;  // as Progress::Work says; total 0: not said
  double part = 0;                                               // of the next unit that is done

  bool begun() const { return done > 0 || work_done > 0; }
};

enum class ProgressEnd { kGoesOn, kFinished };

// "train  ███░ 27% 3.2/12 steps  0.5/s  0:18 left  loss 3.21", after `elapsed` seconds; `bar`: with a bar.
std::string ProgressLine(const ProgressNumbers& numbers, double elapsed, bool bar, ProgressEnd end);

}  // namespace longspan
