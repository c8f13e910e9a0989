// What a killed process leaves behind: files and folders under the temporary names of AtomicFile and
// AtomicFolder.
#pragma once

#include <filesystem>
#include <string_view>

namespace longspan {

// Whether a file or folder of this name is unfinished: "model.gguf.tmp-" and six letters or digits.
bool IsLeftover(std::string_view name);

// Removes everything below `folder` that has such a name. For a folder of the job's own, while no other
// process works in it. Error(kIo).
void RemoveLeftovers(const std::filesystem::path& folder);

}  // namespace longspan
