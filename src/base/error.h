// The one family of errors. Library code throws; cli/ turns an Error into one line and an exit code.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace longspan {

enum class ErrorKind {
  kInvalidFile,  // a file's contents break its format
  kUnsupported,  // well-formed, but longspan does not handle it
  kOutOfMemory,  // a limit on memory would be exceeded
  kBadOption,    // the user asked for something impossible
  kIo,           // the operating system refused: missing file, full disk
  kCancelled,    // the user pressed Ctrl-C, or the system asked to stop
  kInternal,     // a bug in longspan
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// Throws an Error with a formatted message. The message names the file (and offset, where there is one),
// what was expected and what was found.
template <class... Args>
[[noreturn]] void Fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

// The process exit code that belongs to a kind.
int ExitCode(ErrorKind kind);

}  // namespace longspan
