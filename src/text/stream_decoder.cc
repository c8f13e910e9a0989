#include "text/stream_decoder.h"

#include <span>
#include <utility>

#include "text/utf8.h"

namespace longspan {

std::string StreamDecoder::Push(std::int32_t id) {
  pending_ += tokenizer_.Decode(std::span(&id, 1), options_);
  // Decode starts anew after a control token, so that one must not be forgotten between calls.
  options_.continues = !tokenizer_.IsControl(id);
  std::string whole = std::exchange(pending_, {});
  const std::size_t unfinished = UnfinishedUtf8Suffix(whole);
  pending_ = whole.substr(whole.size() - unfinished);
  whole.resize(whole.size() - unfinished);
  return whole;
}

std::string StreamDecoder::Finish() { return std::exchange(pending_, {}); }

}  // namespace longspan
