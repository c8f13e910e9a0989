#include "infer/stop_reason.h"

namespace longspan {

const char* Name(StopReason reason) {
  switch (reason) {
    case StopReason::kStopToken: return "stop token";
    case StopReason::kTokenLimit: return "token limit";
    case StopReason::kContextFull: return "context full";
    case StopReason::kCancelled: return "cancelled";
    case StopReason::kCaller: return "caller";
    case StopReason::kOutOfMemory: return "out of memory";
    case StopReason::kFailed: return "failed";
  }
  return "?";
}

}  // namespace longspan
