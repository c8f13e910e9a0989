// What Hugging Face says about a model in words (the YAML at the top of README.md) and how it should be
// sampled (generation_config.json), and GGUF's general.* keys for the same.
#pragma once

#include <filesystem>

#include "base/progress.h"
#include "formats/gguf_value.h"

namespace longspan {

// Sets general.* for what the folder's README.md and generation_config.json say. Both may be absent; what
// cannot be read in a README is left out with a message, because a README is for people.
void ReadHfCard(const std::filesystem::path& folder, GgufMetadata& metadata, Progress& progress);

// README.md, where general.* has something to say, and how to sample, added to generation_config.json.
// `source` is what the README names.
void WriteHfCard(const std::filesystem::path& folder, const GgufMetadata& metadata,
                 const std::string& source);

}  // namespace longspan
