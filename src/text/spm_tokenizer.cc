#include "text/spm_tokenizer.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "base/error.h"
#include "text/spm_pieces.h"
#include "text/symbol_merger.h"
#include "text/utf8.h"

namespace longspan {
namespace {

bool IsText(TokenKind kind) { return kind == TokenKind::kNormal || kind == TokenKind::kUserDefined; }

std::string BytesOf(const Vocabulary& vocabulary, std::int32_t id) {
  const std::string& token = vocabulary.tokens[id];
  const TokenKind kind = vocabulary.KindOf(id);
  const int byte = kind == TokenKind::kByte ? ByteOfPiece(token) : -1;
  if (byte >= 0) return std::string(1, static_cast<char>(byte));
  return IsText(kind) ? WithPlainSpaces(token) : token;
}

// The end of the word that begins at `begin`: spaces, then what is not a space.
std::size_t WordEnd(std::string_view text, std::size_t begin) {
  const std::size_t letters = text.find_first_not_of(' ', begin);
  if (letters == std::string_view::npos) return text.size();
  return std::min(text.find(' ', letters), text.size());
}

// Ranks are scores in reverse: the best has the lowest rank, and equal ones have the same. The bits of a
// positive float grow with its value, those of a negative one fall.
std::uint32_t RankOf(float score) {
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0f);  // -0 becomes 0
  return (bits & 0x80000000) != 0 ? bits : ~(bits | 0x80000000);
}

}  // namespace

SpmTokenizer::SpmTokenizer(Vocabulary from)
    : Tokenizer(std::move(from), BytesOf), ids_(static_cast<std::size_t>(vocab_size())) {
  if (vocabulary().scores.empty()) {
    Fail(ErrorKind::kInvalidFile,
         "tokenizer: expected a score for every token of a SentencePiece vocabulary, found none");
  }
  CollectTokens();
}

void SpmTokenizer::CollectTokens() {
  byte_ids_.fill(-1);
  for (std::int32_t id = 0; id < vocab_size(); ++id) {
    const TokenKind kind = vocabulary().KindOf(id);
    const std::string_view piece = Piece(id);
    if (kind == TokenKind::kByte && piece.size() == 1) byte_ids_[static_cast<std::uint8_t>(piece[0])] = id;
    if (!IsText(kind) || piece.empty()) continue;
    ids_.Add(piece, id);
    if (WordEnd(piece, 0) != piece.size()) splits_at_spaces_ = false;
  }
  const bool complete = std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end();
  if (!complete && vocabulary().unknown < 0) {
    Fail(ErrorKind::kInvalidFile,
         "tokenizer: the vocabulary has neither a token for every byte nor an unknown token");
  }
}

void SpmTokenizer::EncodeText(std::string_view text, bool first, std::vector<std::int32_t>& ids) const {
  std::string plain;
  plain.reserve(text.size() + 1);
  if (first && vocabulary().add_space_prefix) plain += ' ';
  if (text.find(kSpaceMark) == std::string_view::npos)
    plain += text;
  else
    plain += WithPlainSpaces(text);
  if (!splits_at_spaces_) {
    MergeWord(plain, ids);
    return;
  }
  // Merges never reach across the boundary of such words, so each can be merged by itself, and remembered.
  const WordCaches::Lease cache(caches_);
  const std::string_view view = plain;
  for (std::size_t begin = 0; begin < view.size();) {
    const std::size_t end = WordEnd(view, begin);
    EncodeWord(view, begin, end, *cache, ids);
    begin = end;
  }
}

void SpmTokenizer::EncodeWord(std::string_view text, std::size_t begin, std::size_t end, WordCache& cache,
                              std::vector<std::int32_t>& ids) const {
  if (cache.Find(text, begin, end, ids)) return;
  const std::size_t first = ids.size();
  MergeWord(text.substr(begin, end - begin), ids);
  cache.Add(text, begin, end, std::span(ids).subspan(first));
}

struct SpmTokenizer::Pairs {
  const SpmTokenizer& tokenizer;
  std::string_view word;

  // A symbol is a piece of the word, by its length.
  static std::int64_t Size(std::int32_t length) { return length; }
  std::optional<SymbolCells::Join> Find(std::int64_t at, std::int32_t left, std::int32_t right) const {
    const std::int32_t length = left + right;
    const std::int32_t id = tokenizer.ids_.Find(word.substr(at, length));
    if (id < 0) return std::nullopt;
    return SymbolCells::Join{RankOf(tokenizer.vocabulary().scores[id]), length};
  }
};

void SpmTokenizer::MergeWord(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (word.size() > std::numeric_limits<std::int32_t>::max()) {
    Fail(ErrorKind::kUnsupported, "a text of {} bytes is too long to tokenize at once", word.size());
  }
  SymbolCells cells(word.size());
  for (std::string_view rest = word; !rest.empty();) {
    const Utf8Char c = FirstUtf8Char(rest);
    const std::size_t length = c.state == Utf8Char::State::kValid ? c.length : 1;
    cells.Append(static_cast<std::int32_t>(length), length);
    rest.remove_prefix(length);
  }
  const Pairs pairs{*this, word};
  cells.Merge(pairs);
  cells.ForEach(pairs, [&](std::int64_t at, std::int32_t length) {
    const std::string_view symbol = word.substr(at, length);
    if (const std::int32_t id = ids_.Find(symbol); id >= 0)
      ids.push_back(id);
    else
      AppendBytes(symbol, ids);
  });
}

void SpmTokenizer::AppendBytes(std::string_view bytes, std::vector<std::int32_t>& ids) const {
  for (const char byte : bytes) {
    const std::int32_t id = byte_ids_[static_cast<std::uint8_t>(byte)];
    ids.push_back(id >= 0 ? id : vocabulary().unknown);
  }
}

}  // namespace longspan
