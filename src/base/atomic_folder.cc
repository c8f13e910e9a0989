#include "base/atomic_folder.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace longspan {
namespace fs = std::filesystem;

AtomicFolder::AtomicFolder(fs::path final_path) : final_path_(std::move(final_path)) {
  // "out/" and "out" are the same folder; the temporary one stands beside it, not in it.
  if (!final_path_.has_filename()) final_path_ = final_path_.parent_path();
  std::error_code error;
  if (fs::exists(final_path_, error) &&
      !(fs::is_directory(final_path_, error) && fs::is_empty(final_path_, error))) {
    Fail(ErrorKind::kBadOption, "{}: exists already; name a new or an empty folder", final_path_.string());
  }
  if (final_path_.has_parent_path()) fs::create_directories(final_path_.parent_path(), error);
  std::string name = final_path_.string() + ".tmp-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    Fail(ErrorKind::kIo, "{}: cannot create a folder beside it: {}", final_path_.string(),
         std::strerror(errno));
  }
  temporary_ = name;
  // mkdtemp makes it for its owner alone; the result is an ordinary folder.
  fs::permissions(temporary_, fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                                  fs::perms::others_read | fs::perms::others_exec);
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

void AtomicFolder::Commit() {
  std::error_code error;
  fs::rename(temporary_, final_path_, error);  // replaces an empty folder
  if (error) Fail(ErrorKind::kIo, "{}: cannot rename into place: {}", final_path_.string(), error.message());
  temporary_.clear();
}

}  // namespace longspan
