// Files that are not what their names say: what downloads and other programs leave where a model, an adapter,
// a tokenizer or a configuration should be.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace longspan {

// Returns unless `contents`, the whole or the beginning of `file`, is a known kind of wrong file: a Git LFS
// pointer, a web page, an empty file, a pickle, a compressed file, or a model in another format. Then an
// Error that says what it is and what to do. Readers call it where the bytes don't fit their own format.
void RefuseWrongFile(std::string_view contents, const std::string& file);
void RefuseWrongFile(std::span<const std::byte> contents, const std::string& file);

// Error(kUnsupported) for weights in PyTorch's own format. `file` is the file, or the folder that has only
// such files.
[[noreturn]] void RefusePickle(const std::filesystem::path& file);

}  // namespace longspan
