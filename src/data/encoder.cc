#include "data/encoder.h"

#include "text/fingerprint.h"
#include "text/tokenizer.h"

namespace longspan {

TextEncoder EncoderOf(const Tokenizer& tokenizer) {
  return {[&tokenizer](std::string_view text) { return tokenizer.Encode(text); }, tokenizer.vocab_size(),
          tokenizer.add_bos() ? tokenizer.bos() : -1, tokenizer.eos(), Fingerprint(tokenizer.vocabulary())};
}

}  // namespace longspan
