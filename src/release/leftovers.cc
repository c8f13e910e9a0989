#include "release/leftovers.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "base/error.h"

namespace longspan {

namespace fs = std::filesystem;

bool IsLeftover(std::string_view name) {
  constexpr std::string_view kMark = ".tmp-";
  constexpr std::size_t kLetters = 6;
  if (name.size() <= kMark.size() + kLetters) return false;
  const std::string_view stem = name.substr(0, name.size() - kMark.size() - kLetters);
  const std::string_view letters = name.substr(name.size() - kLetters);
  return name.substr(stem.size(), kMark.size()) == kMark &&
         std::ranges::all_of(letters, [](unsigned char c) { return std::isalnum(c) != 0; });
}

void RemoveLeftovers(const fs::path& folder) {
  try {
    std::vector<fs::path> leftovers;
    for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::end(entry); ++entry) {
      if (!IsLeftover(entry->path().filename().string())) continue;
      leftovers.push_back(entry->path());
      entry.disable_recursion_pending();
    }
    for (const fs::path& leftover : leftovers) fs::remove_all(leftover);
  } catch (const fs::filesystem_error& error) {
    Fail(ErrorKind::kIo, "{}: cannot remove what a killed process left: {}", error.path1().string(),
         error.code().message());
  }
}

}  // namespace longspan
