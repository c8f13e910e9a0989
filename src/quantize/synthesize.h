// A model file with random weights: real shapes, types and sizes for measuring speed, without a download. Its
// numbers stay sane (logits are finite and spread like those of an untrained model), its text is noise.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/progress.h"
#include "model/config.h"
#include "quantize/mix.h"

namespace longspan {

// What decides the type of each tensor: one of quantize's mixes, or one type for every matrix.
struct SynthesisTypes {
  Mix mix;
  MixOverrides overrides;
};
// The mix of that name, or else the type of that name, if longspan encodes it. Case is ignored.
// Error(kBadOption) for any other name.
SynthesisTypes FindSynthesisTypes(std::string_view name);

struct SynthesizeOptions {
  SynthesisTypes types = FindSynthesisTypes("Q4_K_M");
  std::filesystem::path vocabulary;  // a GGUF file to take it from; empty: SyntheticVocabulary
  std::uint64_t seed = 0;
};

struct SynthesizeReport {
  std::int64_t weights = 0;
  std::int64_t bytes = 0;  // of tensor data, without metadata
};

// Writes `out`, whole or not at all, with the deviations of InitialTensors. The same bytes for the same
// options on any number of threads. Needs memory for the vocabulary and some 16 MiB. Error(kBadOption) where
// the vocabulary has another size than config's, Error(kIo) where the disk has no room.
SynthesizeReport SynthesizeFile(const std::filesystem::path& out, const LlamaConfig& config,
                                const SynthesizeOptions& options, Progress& progress);

}  // namespace longspan
