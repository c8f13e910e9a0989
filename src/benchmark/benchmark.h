// How fast a model runs on this machine: reading at several depths, one whole prompt, writing.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "benchmark/memory_reading.h"
#include "benchmark/profiling_kernels.h"
#include "model/transformer.h"
#include "tensor/type.h"

namespace longspan {

struct BenchmarkOptions {
  std::vector<std::int64_t> depths{0, 8192, 32768};  // tokens that the sequence holds beforehand
  std::int64_t prefill = 512;                        // tokens read at each depth; 0: none
  std::int64_t decode = 16;                          // tokens written at each depth; 0: none
  std::int64_t prompt = 0;                           // tokens of one whole prompt, read once; 0: none
  std::vector<std::int64_t> batches{1};  // sequences written at once; more than one only at the least depth
  int repetitions = 3;                   // of each prefill and decode
  Type cache_type = Type::kF32;          // of keys and values
  // Read before and after each decode, so that its speed is compared with the memory's of the same moment:
  // neighbours on a shared machine come and go. Null: not read.
  const MemoryReading* memory = nullptr;
  bool profile = false;  // repeats every work once more, with a clock around each operation
};

enum class BenchmarkWork { kPrefill, kPrompt, kDecode };
std::string_view Name(BenchmarkWork work);  // "prefill", "prompt", "decode"

struct BenchmarkResult {
  BenchmarkWork work;
  std::int64_t depth = 0;
  std::int64_t tokens = 0;           // of each sequence
  std::int64_t sequences = 1;        // read or written at once
  double operations = 0;             // floating-point, of one repetition
  double bytes = 0;                  // of weights, keys and values that one repetition reads at least
  std::vector<double> seconds = {};  // of each repetition, fastest first
  // Of each decode, least first: its bytes a second relative to those of reading memory around it. Empty
  // where memory was not read.
  std::vector<double> of_memory = {};
  // The parts of the fastest profiled repetition. Empty where none was asked for.
  std::vector<PartTime> parts = {};
  // Of the KV blocks that sparse prefill chose among; 1 where nothing was left out. `operations` and `bytes`
  // are those of dense attention.
  double chosen = 1;

  double BestSeconds() const { return seconds.front(); }
  double MedianSeconds() const;
  double MedianOfMemory() const;
  double ProfiledSeconds() const;  // of all parts
  double TokensPerSecond(double of_seconds) const {
    return static_cast<double>(tokens * sequences) / of_seconds;
  }
};

// Runs `model` on random tokens. Prefill and prompt read their tokens in chunks of Session::kChunk and end
// with the logits of the last token; decode reads token by token, each with its logits. Depth is filled with
// random keys and values, in which attention is flat: with sparse prefill, a threshold leaves out less than
// it does in a text, and only a budget says what a text would cost. Error(kCancelled) between two passes;
// Error(kBadOption) for a negative number, Error(kOutOfMemory) where the weights and the deepest cache exceed
// the machine's memory, both before anything is run.
std::vector<BenchmarkResult> MeasureModel(const Transformer& model, const BenchmarkOptions& options,
                                          Progress& progress = NoProgress());

}  // namespace longspan
