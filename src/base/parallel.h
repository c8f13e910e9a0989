// Threads: a loop over independent tasks. Tasks must not depend on which thread runs them, so that results
// do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "base/function_ref.h"

namespace longspan {

void SetThreads(int threads);  // at least 1
int Threads();

// Calls body(i) once for each i in [0, n), in no particular order, on up to Threads() threads including the
// calling thread. The first exception thrown by a body is rethrown here after the others have stopped. A loop
// inside a task runs serially. So does a loop that is called while another thread's loop uses the workers.
void ParallelFor(std::int64_t n, FunctionRef<void(std::int64_t)> body);

// For as long as it lives, adds up the time that the thread that made it spends in loops shared with workers.
// All else that the thread does runs on one thread. Stopwatches of a thread end in the reverse order.
class ParallelStopwatch {
 public:
  ParallelStopwatch();
  ~ParallelStopwatch();
  ParallelStopwatch(const ParallelStopwatch&) = delete;
  ParallelStopwatch& operator=(const ParallelStopwatch&) = delete;

  double seconds() const { return seconds_; }
  void Add(double seconds);

 private:
  double seconds_ = 0;
  ParallelStopwatch* const outer_;
};

}  // namespace longspan
