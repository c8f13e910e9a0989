#include "text/stream_decoder.h"

#include <utility>

#include "text/utf8.h"

namespace longspan {

std::string StreamDecoder::Push(std::int32_t id) {
  tokenizer_.AppendDecoded(id, special_, begins_, pending_);
  std::string whole = std::exchange(pending_, {});
  const std::size_t unfinished = UnfinishedUtf8Suffix(whole);
  pending_ = whole.substr(whole.size() - unfinished);
  whole.resize(whole.size() - unfinished);
  return whole;
}

std::string StreamDecoder::Finish() { return std::exchange(pending_, {}); }

}  // namespace longspan
