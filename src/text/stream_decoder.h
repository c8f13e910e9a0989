// Decoding as tokens come, for text that is shown while it is generated.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "text/tokenizer.h"

namespace longspan {

// The pieces together are what Tokenizer::Decode makes of all the tokens. A character may be spread over
// several tokens; it is held back until it is whole. The tokenizer must outlive the decoder.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, DecodeOptions options = {})
      : tokenizer_(tokenizer), special_(options.special), begins_(!options.continues) {}

  // For the tokens that follow `before`, such as a prompt.
  StreamDecoder(const Tokenizer& tokenizer, std::span<const std::int32_t> before, bool special)
      : tokenizer_(tokenizer), special_(special), begins_(tokenizer.BeginsAfter(before)) {}

  // The text that has become whole with `id`; may be empty.
  std::string Push(std::int32_t id);

  // The bytes that are still held back and can no longer become a character.
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  bool special_;
  bool begins_;  // as Tokenizer::AppendDecoded has it
  std::string pending_;
};

}  // namespace longspan
