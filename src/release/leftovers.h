// What a killed process leaves behind: files and folders under the temporary names of AtomicFile and
// AtomicFolder.
#pragma once

#include <filesystem>

namespace longspan {

// Removes everything below `folder` that has a temporary name (base/temporary.h). For a folder of the job's
// own, while no other process works in it. Error(kIo).
void RemoveLeftovers(const std::filesystem::path& folder);

}  // namespace longspan
