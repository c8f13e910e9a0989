// Files whose blocks llama.cpp's encoders made.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "bench/peers/llama_library.h"

namespace longspan::peers {

// The importance of a tensor's columns, [cols], or null for none.
using ImportanceOf = std::function<const float*(std::string_view tensor, std::int64_t cols)>;

// Writes `out`: the metadata and the types of `like`, which was made from `source`, but with each quantised
// tensor encoded anew by llama.cpp from the source's values. What takes only weighted values
// (NeedsImportance) gets equal weights where `importance` has none.
void WriteAsLlama(const LlamaLibrary& library, const std::filesystem::path& source,
                  const std::filesystem::path& like, const std::filesystem::path& out,
                  const ImportanceOf& importance = {});

}  // namespace longspan::peers
