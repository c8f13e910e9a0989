#include "text/warnings.h"

#include "base/error.h"
#include "formats/byte_reader.h"

namespace longspan {

void WarnAbout(const Vocabulary& vocabulary, Progress& progress) {
  for (const std::string& warning : vocabulary.warnings) progress.Message("warning: " + warning);
}

void WarnOfBytesLeftOut(const Tokenizer& tokenizer, Progress& progress) {
  const std::int64_t bytes = tokenizer.bytes_left_out();
  if (bytes == 0) return;
  progress.Message(bytes == 1 ? "warning: 1 byte of text was left out: the vocabulary has no token for it"
                              : fmt::format("warning: {} bytes of text were left out: the vocabulary has no "
                                            "tokens for them",
                                            bytes));
}

void WarnOfTwoBos(const Tokenizer& tokenizer, std::span<const std::int32_t> ids, std::string_view remedy,
                  Progress& progress) {
  const std::int32_t bos = tokenizer.bos();
  if (bos < 0 || ids.size() < 2 || ids[0] != bos || ids[1] != bos) return;
  progress.Message(
      fmt::format("warning: the tokens begin with \"{}\" twice: one is put before every text, and this text "
                  "has one of its "
                  "own; {}",
                  Printable(tokenizer.Piece(bos)), remedy));
}

}  // namespace longspan
