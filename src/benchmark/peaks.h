// What this machine can do at most, as measured: the peaks that the speed of a model is compared with.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "kernels/kernels.h"

namespace longspan {

enum class PeakKind { kTileBf16, kTileInt8, kBf16Dot, kInt8Dot, kFma, kMemoryReading };

std::string_view Name(PeakKind kind);  // "tile bf16", "memory reading"
std::string_view Unit(PeakKind kind);  // what is counted a second: "FLOP", "OP" (of integers), "B"

struct Peak {
  PeakKind kind;
  std::string_view isa;  // the least instruction set that has it, by ChooseKernels' names; "" for memory
  std::string_view instruction;  // what was repeated
  // Multiplications and additions a second, counted each, or bytes a second.
  double one_thread = 0;
  double all_threads = 0;  // Threads() of them at once
};

struct PeakOptions {
  double seconds = 0.08;        // that one run of a loop lasts
  int runs = 5;                 // the best of them counts
  std::int64_t read_bytes = 0;  // size of the memory that is read; 0: far more than the last cache holds
};

// Measures all that this machine has. Error(kCancelled) between two runs, Error(kOutOfMemory) where there is
// no room for the memory to be read.
std::vector<Peak> MeasurePeaks(const PeakOptions& options = {}, Progress& progress = NoProgress());

// Operations a second of all threads at the moment, by a short run of the same loop. Only of products.
double RateNow(const Peak& peak);

// Whether code for instruction set `isa`, or "auto", may use the instruction of this peak.
bool Allows(std::string_view isa, const Peak& peak);

// What bounds matrix products by code for `isa`: FMA where activations are exact; else tiles in bf16; else
// dot products of bytes where `quantised` weights meet activations rounded to them; else FMA, or dot products
// of bf16 where those are faster. The fastest of its kind; null where `isa` allows none.
const Peak* ProductPeak(std::span<const Peak> peaks, std::string_view isa, Activations activations,
                        bool quantised);

// Null where memory was not measured.
const Peak* MemoryPeak(std::span<const Peak> peaks);

}  // namespace longspan
