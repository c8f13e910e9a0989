// Text to token ids and back.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/token_trie.h"
#include "text/vocabulary.h"

namespace longspan {

struct EncodeOptions {
  bool parse_special = false;  // whether "<|eot_id|>" in the text is that token, or just these characters
  bool add_bos = false;        // where the vocabulary has one
  bool add_eos = false;
};

struct DecodeOptions {
  bool special = false;    // whether control tokens are written out or left out
  bool continues = false;  // whether the ids follow others, so that a first space belongs to the text
};

// Thread-safe after construction.
class Tokenizer {
 public:
  // The tokenizer that `vocabulary` describes. Error(kInvalidFile) where it is inconsistent,
  // Error(kUnsupported) for a pre-tokenizer that longspan does not know.
  static std::unique_ptr<Tokenizer> Make(Vocabulary vocabulary);
  virtual ~Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Bytes that are not UTF-8 are encoded as well, and come back from Decode unchanged, unless the vocabulary
  // has no token for a byte: that is left out, and counted in bytes_left_out().
  std::vector<std::int32_t> Encode(std::string_view text, const EncodeOptions& options = {}) const;

  // The bytes of `ids`. Error(kBadOption) for an id that names no token.
  std::string Decode(std::span<const std::int32_t> ids, const DecodeOptions& options = {}) const;

  // Appends the bytes of one token. `begins`: whether a text begins here, so that a first space is the one
  // that encoding put there; it is then set to what holds after this token. Decode is this for each of its
  // ids.
  void AppendDecoded(std::int32_t id, bool special, bool& begins, std::string& text) const;

  // Whether what follows `ids` begins a text, as AppendDecoded has it: after nothing, or after a token that
  // is found in text as a whole.
  bool BeginsAfter(std::span<const std::int32_t> ids) const;

  // The bytes that a token stands for; for a control token, its name.
  std::string_view Piece(std::int32_t id) const;

  // The id of the token of this name, as the vocabulary spells it.
  std::optional<std::int32_t> Find(std::string_view token) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  std::int32_t vocab_size() const { return static_cast<std::int32_t>(pieces_.size()); }
  std::int32_t bos() const { return vocabulary_.bos; }  // -1: there is none
  std::int32_t eos() const { return vocabulary_.eos; }
  bool add_bos() const { return vocabulary_.add_bos; }
  bool IsControl(std::int32_t id) const;
  // Whether a model that writes this token has finished: end of text, of turn, of message.
  bool IsEndOfGeneration(std::int32_t id) const;

  // How many bytes of all texts so far were left out, because no token stands for them.
  std::int64_t bytes_left_out() const { return left_out_.load(std::memory_order_relaxed); }

 protected:
  // The bytes that a token stands for.
  using PieceOf = std::string (*)(const Vocabulary& vocabulary, std::int32_t id);
  Tokenizer(Vocabulary vocabulary, PieceOf piece_of);

  // Appends the ids of `text`, which holds no special token. `first`: nothing, or a special token, is before
  // it.
  virtual void EncodeText(std::string_view text, bool first, std::vector<std::int32_t>& ids) const = 0;

  void CountLeftOut(std::int64_t bytes) const { left_out_.fetch_add(bytes, std::memory_order_relaxed); }

 private:
  // A token in a text. It takes the bytes from `begin` to `end`, including spaces that it strips.
  struct Found {
    std::int32_t id;
    std::size_t begin, end;
  };
  // The bytes that tokens begin with, to be found quickly in text.
  struct FirstBytes {
    std::array<bool, 256> has{};
    std::string all;
    void Add(char byte);
    // Where the next one is at or after `from`, or npos.
    std::size_t Next(std::string_view text, std::size_t from) const;
  };
  bool IsWhole(std::int32_t id) const;
  void CollectWholeTokens();
  void CollectEnds();
  std::optional<Found> LongestAt(std::string_view text, std::size_t at, bool parse_special) const;
  std::optional<Found> NextWhole(std::string_view text, std::size_t from, bool parse_special) const;
  bool TakesSpacePrefix() const;

  Vocabulary vocabulary_;
  std::vector<std::string> pieces_;
  TokenTrie whole_tokens_;  // those that are found in text before anything is merged
  FirstBytes whole_first_;  // of these
  FirstBytes plain_first_;  // of those among them that are found although special ones are not
  std::vector<std::int32_t> ends_;
  mutable std::atomic<std::int64_t> left_out_ = 0;
};

}  // namespace longspan
