// The pre-tokenizers that longspan knows: GGUF's names for them, and the regular expressions that they are.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/word_splitter.h"

namespace longspan {

struct PreTokenizerRule {
  std::string_view name;  // as in GGUF's tokenizer.ggml.pre
  // Each cuts the pieces that the one before it left: into its matches, and what lies between them.
  std::vector<std::string_view> stages;
  bool takes_whole_words = false;  // whether a word that is itself a token is taken unmerged
  // Whether the makers' tokenizer brings text to Unicode's form NFC first. GGUF's readers do not.
  bool nfc = false;
  SplitWords* split_words = nullptr;  // does what the stages do, where they are of its family
};

// GPT-2's expression, which Hugging Face's "ByteLevel" stands for.
extern const std::string_view kGpt2Regex;

// Error(kUnsupported), naming it, for one that longspan does not know. "" is "default", as GGUF has it.
const PreTokenizerRule& FindPreTokenizerRule(std::string_view name);

// The rule that cuts by these expressions, or nullptr. Spellings that match the same text count as one.
const PreTokenizerRule* RecognisePreTokenizer(std::span<const std::string> stages, bool takes_whole_words);

}  // namespace longspan
