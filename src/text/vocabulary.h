// What a tokenizer is made of, as model files carry it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace longspan {

// The numbers of GGUF's tokenizer.ggml.token_type.
enum class TokenKind : std::int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,      // no text of its own: <|begin_of_text|>; read from text only where asked
  kUserDefined = 4,  // literal text that is always one token
  kUnused = 5,
  kByte = 6,  // <0x0A>: one byte, for what no other token covers
};

// What a token that is found in text as a whole asks of the text around it, in Hugging Face's words. GGUF's
// readers do not have these rules.
struct TokenEdges {
  bool lstrip = false;       // the spaces before it belong to it
  bool rstrip = false;       // the spaces after it belong to it
  bool single_word = false;  // it is found only where no letter or digit touches it
  bool any() const { return lstrip || rstrip || single_word; }
  bool operator==(const TokenEdges&) const = default;
};

struct Vocabulary {
  enum class Kind {
    kBpe,  // byte-level BPE (GPT-2, Llama 3): merges by rank, tokens in the alphabet of byte_alphabet.h
    kSpm,  // SentencePiece BPE (Llama 2): merges by score, spaces as U+2581
  };
  Kind kind = Kind::kBpe;
  std::string pre;                  // which pre-tokenizer, for kBpe: "llama-bpe"
  std::vector<std::string> tokens;  // by id
  std::vector<float> scores;        // by id, or empty
  std::vector<TokenKind> kinds;     // by id, or empty: all normal
  std::vector<std::string> merges;  // "left right", best first, for kBpe
  std::int32_t bos = -1, eos = -1, unknown = -1, eot = -1, pad = -1;  // -1: there is none
  bool add_bos = false, add_eos = false;     // whether a text to be continued is given them
  bool add_space_prefix = false;             // whether a text gets a space in front, for kSpm
  std::string chat_template;                 // Jinja, or empty
  std::map<std::int32_t, TokenEdges> edges;  // by id, of the tokens that have any
  // What is odd about where this was read from, and what was made of it: sentences for the user.
  std::vector<std::string> warnings;

  TokenKind KindOf(std::int32_t id) const { return kinds.empty() ? TokenKind::kNormal : kinds[id]; }
};

// Error(kInvalidFile) where lists have different lengths, a special id names no token, or byte-level BPE has
// tokens of several bytes and nothing that makes them. `name` says in the message where the vocabulary is
// from.
void CheckVocabulary(const Vocabulary& vocabulary, std::string_view name);

// `id` where it names a token of `vocabulary`. Otherwise -1 with a warning, because a model runs without it;
// `what` is the token's role, `name` as above.
std::int32_t KnownIdOrNone(Vocabulary& vocabulary, std::int64_t id, std::string_view what,
                           std::string_view name);

}  // namespace longspan
