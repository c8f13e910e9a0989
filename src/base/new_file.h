// What can be known about a file before the work whose result goes into it.
#pragma once

#include <filesystem>

namespace longspan {

// Error(kIo) unless a file can be written at `path`, as an AtomicFile of that path would find only after the
// work. Leaves nothing behind, and makes no folders: missing ones are made later.
void CheckWritable(const std::filesystem::path& path);

// For a file that does not exist, where the user did not ask to replace any: the first AtomicFile of that
// path does not replace what appears there meanwhile. Later ones replace what this process wrote.
void KeepIfItAppears(const std::filesystem::path& path);

// For TemporaryFile: whether the file at `path`, a path without a link at its end, must not be replaced.
bool IsKeptIfItAppears(const std::filesystem::path& path);
// For TemporaryFile: this process has written the file.
void ReplaceFromNowOn(const std::filesystem::path& path);

}  // namespace longspan
