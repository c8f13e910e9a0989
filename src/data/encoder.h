// What this folder needs of a tokenizer.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace longspan {

class Tokenizer;

using EncodeFn = std::function<std::vector<std::int32_t>(std::string_view)>;

struct TextEncoder {
  EncodeFn encode;  // plain text to tokens: no BOS, no EOS, no special tokens; called from several threads
  std::int64_t vocab_size = 0;
  std::int32_t bos = -1;  // -1: the vocabulary has none, or the model does not want it
  std::int32_t eos = -1;
  std::uint64_t fingerprint = 0;  // of what `encode` does (text/fingerprint.h)
};

// `tokenizer` as an encoder, which must not outlive it.
TextEncoder EncoderOf(const Tokenizer& tokenizer);

}  // namespace longspan
