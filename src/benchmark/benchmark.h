// How fast a model runs on this machine: reading at several depths, one whole prompt, writing.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "benchmark/profiling_kernels.h"
#include "model/transformer.h"
#include "tensor/type.h"

namespace longspan {

enum class BenchmarkWork { kPrefill, kPrompt, kDecode };
std::string_view Name(BenchmarkWork work);  // "prefill", "prompt", "decode"

struct BenchmarkOptions {
  std::vector<std::int64_t> depths{0, 8192, 32768};  // tokens that the sequence holds beforehand
  std::int64_t prefill = 512;                        // tokens read at each depth; 0: none
  std::int64_t decode = 16;                          // tokens written at each depth; 0: none
  std::int64_t prompt = 0;                           // tokens of one whole prompt, read once; 0: none
  std::vector<std::int64_t> batches{1};  // sequences written at once; more than one only at the least depth
  int repetitions = 3;                   // of each prefill and decode
  Type cache_type = Type::kF32;          // of keys and values
  // What the machine does at the moment: bytes that it reads a second for decodes, operations of its products
  // for all else. Asked before and after each repetition, because neighbours on a shared machine come and go.
  // Empty: not asked.
  std::function<double(BenchmarkWork work)> machine = {};
  bool profile = false;  // repeats every work once more, with a clock around each operation
};

// A part of a whole prompt.
struct PromptStretch {
  std::int64_t depth = 0;  // tokens before it
  std::int64_t tokens = 0;
  double seconds = 0;
  double of_machine = 0;  // its operations a second relative to what the machine did around it; 0: not asked
};

struct BenchmarkResult {
  BenchmarkWork work;
  std::int64_t depth = 0;
  std::int64_t tokens = 0;           // of each sequence
  std::int64_t sequences = 1;        // read or written at once
  double operations = 0;             // floating-point, of one repetition
  double bytes = 0;                  // of weights, keys and values that one repetition reads at least
  std::vector<double> seconds = {};  // of each repetition, fastest first
  // Of each repetition, least first: its bytes (of a decode) or operations a second relative to what the
  // machine did around it. Empty where the machine was not asked.
  std::vector<double> of_machine = {};
  // The parts of the fastest profiled repetition. Empty where none was asked for.
  std::vector<PartTime> parts = {};
  std::vector<PromptStretch> stretches = {};  // of a whole prompt, at most kStretches, in whole chunks
  // Of the KV blocks that sparse prefill chose among; 1 where nothing was left out. `operations` and `bytes`
  // are those of dense attention.
  double chosen = 1;

  static constexpr std::int64_t kStretches = 16;

  double BestSeconds() const { return seconds.front(); }
  double MedianSeconds() const;
  double MedianOfMachine() const;
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
