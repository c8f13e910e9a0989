// Decoding as tokens come, for text that is shown while it is generated.
#pragma once

#include <cstdint>
#include <string>

#include "text/tokenizer.h"

namespace longspan {

// A character may be spread over several tokens; it is held back until it is whole. The tokenizer must
// outlive the decoder.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, DecodeOptions options = {})
      : tokenizer_(tokenizer), options_(options) {}

  // The text that has become whole with `id`; may be empty.
  std::string Push(std::int32_t id);

  // What is still held back: bytes that no longer can become a character.
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  DecodeOptions options_;
  std::string pending_;
};

}  // namespace longspan
