#include "release/leftovers.h"

#include <string>
#include <vector>

#include "base/error.h"
#include "base/temporary.h"

namespace longspan {

namespace fs = std::filesystem;

void RemoveLeftovers(const fs::path& folder) {
  try {
    std::vector<fs::path> leftovers;
    for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::end(entry); ++entry) {
      if (!IsTemporaryName(entry->path().filename().string())) continue;
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
