// A folder's tokenizer on its way into GGUF and back.
#pragma once

#include "base/testing/temporary_folder.h"
#include "fuzz/input.h"
#include "fuzz/target.h"
#include "text/gguf_vocabulary.h"
#include "text/hf/tokenizer.h"
#include "text/tokenizer.h"

namespace longspan::fuzz {

// Reads the tokenizer of `files`, uses it, and writes it to another folder.
inline void ReadTokenizerFolder(std::span<const std::byte> input, const std::vector<std::string>& files) {
  const MemoryFolder folder(input, files);
  const GgufMetadata metadata = ReadHfTokenizer(folder.path(), 0);
  Attempt([&] {
    Tokenizer::Make(ReadVocabulary(metadata))->Encode(" Hello <s>world\n123", {.parse_special = true});
  });
  const TestFolder copy;
  WriteHfTokenizer(metadata, copy.path());
}

}  // namespace longspan::fuzz
