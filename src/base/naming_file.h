// Puts the name of a file to an error of code that does not know it.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace longspan {

// Runs `body`, which works on what was read from `file`. An Error(kInvalidFile) from it that does not begin
// with `file` gets that before its message.
template <class F>
decltype(auto) NamingFile(const std::string& file, F&& body) {
  try {
    return std::forward<F>(body)();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInvalidFile || std::string_view(error.what()).starts_with(file)) throw;
    Fail(error.kind(), "{}: {}", file, error.what());
  }
}

}  // namespace longspan
