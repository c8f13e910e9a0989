// Threads: a loop over independent tasks. Tasks must not depend on which thread runs them, so that results
// do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <functional>

namespace longspan {

void SetThreads(int threads);  // at least 1
int Threads();

// Calls body(i) once for each i in [0, n), on up to Threads() threads, in no particular order. The first
// exception thrown by a body is rethrown here after the others have stopped. Nested calls run serially.
void ParallelFor(std::int64_t n, const std::function<void(std::int64_t)>& body);

}  // namespace longspan
