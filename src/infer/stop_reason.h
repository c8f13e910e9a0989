// When a text that a model writes ends, and why it did.
#pragma once

#include <cstdint>
#include <vector>

namespace longspan {

enum class StopReason {
  kStopToken,
  kTokenLimit,
  kContextFull,
  kCancelled,
  kCaller,       // the caller wanted no more tokens
  kOutOfMemory,  // the cache reached its limit
  kFailed,       // an error, such as a model whose logits are not numbers
};
const char* Name(StopReason reason);  // "stop token", "token limit", ...

struct GenerateOptions {
  std::int64_t max_tokens = 0;                 // 0: until something else stops it
  std::vector<std::int32_t> stop_tokens = {};  // end of text, end of turn; never handed to the caller
};

}  // namespace longspan
