#include "text/spm_tokenizer.h"

#include <algorithm>
#include <limits>
#include <queue>
#include <span>
#include <utility>

#include "base/error.h"
#include "text/spm_pieces.h"
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

// A word while it is merged: a doubly linked list of pieces of the text.
struct Symbol {
  std::string_view text;        // empty: merged into the one before it
  std::int32_t previous, next;  // -1: none
};

struct Candidate {
  float score;
  std::int32_t at;   // index of the left symbol
  std::size_t size;  // of both together: if theirs has changed, this is void

  // std::priority_queue yields the greatest: the best score, and of equal ones the leftmost.
  bool operator<(const Candidate& other) const {
    return score != other.score ? score < other.score : at > other.at;
  }
};

std::vector<Symbol> Characters(std::string_view text) {
  std::vector<Symbol> symbols;
  symbols.reserve(text.size());
  for (std::int32_t i = 0; !text.empty(); ++i) {
    const Utf8Char c = FirstUtf8Char(text);
    const std::size_t length = c.state == Utf8Char::State::kValid ? c.length : 1;
    symbols.push_back({text.substr(0, length), i - 1, i + 1});
    text.remove_prefix(length);
  }
  symbols.back().next = -1;
  return symbols;
}

}  // namespace

SpmTokenizer::SpmTokenizer(Vocabulary from) : Tokenizer(std::move(from), BytesOf) {
  if (vocabulary().scores.empty()) {
    Fail(ErrorKind::kInvalidFile,
         "tokenizer: a SentencePiece vocabulary has a score for every token; this has none");
  }
  CollectTokens();
}

void SpmTokenizer::CollectTokens() {
  byte_ids_.fill(-1);
  ids_.reserve(static_cast<std::size_t>(vocab_size()));
  for (std::int32_t id = 0; id < vocab_size(); ++id) {
    const TokenKind kind = vocabulary().KindOf(id);
    const std::string_view piece = Piece(id);
    if (kind == TokenKind::kByte && piece.size() == 1) byte_ids_[static_cast<std::uint8_t>(piece[0])] = id;
    if (!IsText(kind) || piece.empty()) continue;
    ids_.try_emplace(piece, id);
    if (WordEnd(piece, 0) != piece.size()) splits_at_spaces_ = false;
  }
  const bool complete = std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end();
  if (!complete && vocabulary().unknown < 0) {
    Fail(ErrorKind::kInvalidFile,
         "tokenizer: the vocabulary has neither a token for every byte nor an unknown token");
  }
}

void SpmTokenizer::EncodeText(std::string_view text, bool first, std::vector<std::int32_t>& ids) const {
  std::string plain = first && vocabulary().add_space_prefix ? " " : "";
  plain += text.find(kSpaceMark) == std::string_view::npos ? std::string(text) : WithPlainSpaces(text);
  if (!splits_at_spaces_) {
    MergeWord(plain, ids);
    return;
  }
  // Merges never reach across the boundary of such words, so each can be merged by itself, and remembered.
  const std::string_view view = plain;
  for (std::size_t begin = 0; begin < view.size();) {
    const std::size_t end = WordEnd(view, begin);
    EncodeWord(view.substr(begin, end - begin), ids);
    begin = end;
  }
}

void SpmTokenizer::EncodeWord(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (cache_.Find(word, ids)) return;
  const std::size_t begin = ids.size();
  MergeWord(word, ids);
  cache_.Add(word, std::span(ids).subspan(begin));
}

void SpmTokenizer::MergeWord(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (word.size() > std::numeric_limits<std::int32_t>::max()) {
    Fail(ErrorKind::kUnsupported, "a text of {} bytes is too long to tokenize at once", word.size());
  }
  std::vector<Symbol> symbols = Characters(word);
  std::priority_queue<Candidate> queue;
  const auto propose = [&](std::int32_t at) {
    if (at < 0 || symbols[at].next < 0) return;
    const std::string_view left = symbols[at].text, right = symbols[symbols[at].next].text;
    const std::string_view joined(left.data(), left.size() + right.size());
    const auto found = ids_.find(joined);
    if (found != ids_.end()) queue.push({vocabulary().scores[found->second], at, joined.size()});
  };

  for (std::size_t i = 0; i < symbols.size(); ++i) propose(static_cast<std::int32_t>(i));
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.at];
    if (left.text.empty() || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    if (left.text.size() + right.text.size() != best.size) continue;
    left.text = std::string_view(left.text.data(), best.size);
    left.next = right.next;
    right.text = {};
    if (left.next >= 0) symbols[left.next].previous = best.at;
    propose(left.previous);
    propose(best.at);
  }
  for (std::int32_t i = 0; i >= 0; i = symbols[i].next) {
    const auto found = ids_.find(symbols[i].text);
    if (found != ids_.end())
      ids.push_back(found->second);
    else
      AppendBytes(symbols[i].text, ids);
  }
}

void SpmTokenizer::AppendBytes(std::string_view bytes, std::vector<std::int32_t>& ids) const {
  for (const char byte : bytes) {
    const std::int32_t id = byte_ids_[static_cast<std::uint8_t>(byte)];
    ids.push_back(id >= 0 ? id : vocabulary().unknown);
  }
}

}  // namespace longspan
