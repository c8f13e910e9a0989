// Which files a Hugging Face folder's model is made of.
#pragma once

#include <filesystem>
#include <vector>

namespace longspan {

// The files that ConvertHfToGguf may read, sorted: those directly in the folder, and its chat templates. What
// stands beside them does not count: hidden files and folders (.git, .cache), other folders (original/), and
// the weights in formats that are not read (pytorch_model.bin). Error(kIo) where the folder cannot be listed.
std::vector<std::filesystem::path> HfModelFiles(const std::filesystem::path& folder);

// Error(kUnsupported) for a folder that holds an adapter or no model.
void CheckIsHfModel(const std::filesystem::path& folder);

}  // namespace longspan
