// Facts about the machine that longspan plans with and prints.
#pragma once

#include <cstdint>
#include <string>

namespace longspan {

int PhysicalThreads();                 // hardware threads this process may run on
std::uint64_t MemoryBytes();           // installed memory
std::uint64_t AvailableMemoryBytes();  // available without paging out other programs
std::uint64_t PeakMemoryBytes();       // largest resident size of this process so far
std::uint64_t AnonymousMemoryBytes();  // resident now, mapped files not counted
std::int64_t LastLevelCacheBytes();    // 0 where the system does not say
std::string ProcessorName();           // as the operating system reports it

}  // namespace longspan
