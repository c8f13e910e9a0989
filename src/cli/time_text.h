// Times as a person reads them.
#pragma once

#include <string>

namespace longspan {

// "0:18", "12:05", "3:00:59"; as RoughTime has it from a day on.
std::string ClockTime(double seconds);

// "12 s", "35 min 10 s", "4 h 12 min", "2 d 3 h", "3.4 years": rounded up, two units at most.
std::string RoughTime(double seconds);

}  // namespace longspan
