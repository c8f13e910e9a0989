#include "base/error.h"

namespace longspan {

int ExitCode(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kBadOption: return 2;
    case ErrorKind::kInvalidFile: return 3;
    case ErrorKind::kUnsupported: return 4;
    case ErrorKind::kIo: return 5;
    case ErrorKind::kOutOfMemory: return 6;
    case ErrorKind::kCancelled:
      return 130;  // Ctrl-C, as a shell reports it; the program knows of other signals
    case ErrorKind::kInternal: break;
  }
  return 70;
}

}  // namespace longspan
