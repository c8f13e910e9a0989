#include "text/synthetic_vocabulary.h"

#include <string>

#include "base/error.h"
#include "text/byte_alphabet.h"

namespace longspan {
namespace {

constexpr int kBytes = 256, kLetters = 26;

std::int32_t Add(Vocabulary& vocabulary, std::string token, TokenKind kind) {
  vocabulary.tokens.push_back(std::move(token));
  vocabulary.kinds.push_back(kind);
  return static_cast<std::int32_t>(vocabulary.tokens.size()) - 1;
}

}  // namespace

Vocabulary SyntheticVocabulary(std::int64_t size) {
  if (size < kBytes + 2) {
    Fail(ErrorKind::kBadOption, "a vocabulary of {} tokens, expected {} or more: the bytes, begin and end",
         size, kBytes + 2);
  }
  Vocabulary vocabulary;
  vocabulary.pre = "llama-bpe";
  for (int byte = 0; byte < kBytes; ++byte) {
    Add(vocabulary, ToByteAlphabet(std::string(1, static_cast<char>(byte))), TokenKind::kNormal);
  }
  vocabulary.bos = Add(vocabulary, "<|begin_of_text|>", TokenKind::kControl);
  vocabulary.eos = Add(vocabulary, "<|end_of_text|>", TokenKind::kControl);
  vocabulary.add_bos = true;

  // Each token gets its 26 continuations: first the letters, then the tokens that were made of them.
  std::int64_t prefix = 'a';
  while (std::ssize(vocabulary.tokens) < size) {
    const std::string begun = vocabulary.tokens[prefix];
    for (int i = 0; i < kLetters && std::ssize(vocabulary.tokens) < size; ++i) {
      const char letter = static_cast<char>('a' + i);
      vocabulary.merges.push_back(begun + ' ' + letter);
      Add(vocabulary, begun + letter, TokenKind::kNormal);
    }
    prefix = prefix == 'z' ? vocabulary.eos + 1 : prefix + 1;
  }
  return vocabulary;
}

}  // namespace longspan
