// The tokenizer of a Hugging Face folder as GGUF's tokenizer.* keys, and back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/progress.h"
#include "formats/gguf_value.h"

namespace longspan {

// The tokenizer.* keys of the tokenizer in `folder`. Reads the first of these that it finds: a SentencePiece
// tokenizer.model with the added tokens of the tokenizer.json beside it, a tokenizer.json, a tiktoken
// tokenizer.model (Llama 3's); then the files beside them (hf/tokenizer_config.h). What the tokenizer's own
// files say of special tokens takes precedence over the ids in generation_config.json and config.json. Ids
// without a token, up to `vocab_size`, become unused tokens "[PADn]"; 0 stands for as many tokens as there
// are. A special token's id beyond the tokens causes a message; that of bos or eos is an error.
// Error(kInvalidFile), naming the file, for what is broken, for two tokens with one id or two ids of one
// token, for a special token that does not exist, and for more tokens than `vocab_size`. Error(kUnsupported)
// for what GGUF's readers would do differently. Error(kIo) if there is no tokenizer.
GgufMetadata ReadHfTokenizer(const std::filesystem::path& folder, std::int64_t vocab_size,
                             Progress& progress = NoProgress());

// Writes tokenizer.json, tokenizer_config.json, special_tokens_map.json and generation_config.json to
// `folder`, which exists; for a SentencePiece vocabulary, tokenizer.model too, because that alone holds its
// scores. ReadHfTokenizer gives `metadata` back. Trailing unused tokens "[PADn]" are left out: they are the
// model's, not the tokenizer's.
void WriteHfTokenizer(const GgufMetadata& metadata, const std::filesystem::path& folder);
// The same as names and contents, in the order in which they are written.
std::vector<std::pair<std::string, std::string>> HfTokenizerFiles(const GgufMetadata& metadata);

}  // namespace longspan
