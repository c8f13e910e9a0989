// The plots that a model card shows, as SVG text.
#pragma once

#include <string>

#include "release/measurements.h"

namespace longspan {

// Training loss over steps, its running mean, and validation loss where it was measured.
std::string LossPlot(const TrainingFacts& training);

// Perplexity against context length before and after, the native window marked.
std::string PerplexityPlot(const Measurements& m);

// Passkey retrieval by length and depth, before and after side by side.
std::string PasskeyPlot(const Measurements& m);

}  // namespace longspan
