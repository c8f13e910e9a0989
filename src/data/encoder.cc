#include "data/encoder.h"

#include "text/tokenizer.h"

namespace longspan {

TextEncoder EncoderOf(const Tokenizer& tokenizer) {
  return {[&tokenizer](std::string_view text) { return tokenizer.Encode(text); }, tokenizer.vocab_size(),
          tokenizer.bos(), tokenizer.eos()};
}

}  // namespace longspan
