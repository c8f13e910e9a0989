#include "text/tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "text/bpe_tokenizer.h"
#include "text/character_class.h"
#include "text/spm_tokenizer.h"

namespace longspan {
namespace {

// Names under which models end their turn. Files older than the key for it say so only by name.
constexpr std::array<std::string_view, 8> kEndNames = {
    "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>",    "<|endoftext|>",
    "<|im_end|>",      "<|end|>",    "<end_of_turn>", "<EOT>",
};

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::Make(Vocabulary vocabulary) {
  CheckVocabulary(vocabulary, "tokenizer");
  if (vocabulary.kind == Vocabulary::Kind::kSpm) return std::make_unique<SpmTokenizer>(std::move(vocabulary));
  return std::make_unique<BpeTokenizer>(std::move(vocabulary));
}

Tokenizer::Tokenizer(Vocabulary vocabulary, PieceOf piece_of) : vocabulary_(std::move(vocabulary)) {
  const auto size = static_cast<std::int32_t>(vocabulary_.tokens.size());
  pieces_.reserve(vocabulary_.tokens.size());
  for (std::int32_t id = 0; id < size; ++id) pieces_.push_back(piece_of(vocabulary_, id));
  CollectWholeTokens();
  CollectEnds();
}

bool Tokenizer::IsWhole(std::int32_t id) const {
  const TokenKind kind = vocabulary_.KindOf(id);
  return kind == TokenKind::kControl || kind == TokenKind::kUserDefined || kind == TokenKind::kUnknown;
}

void Tokenizer::FirstBytes::Add(char byte) {
  bool& known = has[static_cast<std::uint8_t>(byte)];
  if (!known) all += byte;
  known = true;
}

std::size_t Tokenizer::FirstBytes::Next(std::string_view text, std::size_t from) const {
  if (all.empty()) return std::string_view::npos;
  if (all.size() == 1) return text.find(all.front(), from);
  const auto found = std::find_if(text.begin() + static_cast<std::ptrdiff_t>(from), text.end(),
                                  [&](char c) { return has[static_cast<std::uint8_t>(c)]; });
  return found == text.end() ? std::string_view::npos : static_cast<std::size_t>(found - text.begin());
}

void Tokenizer::CollectWholeTokens() {
  std::vector<TokenTrie::Entry> entries;
  for (std::int32_t id = 0; id < vocab_size(); ++id) {
    if (!IsWhole(id) || pieces_[id].empty()) continue;
    entries.push_back({pieces_[id], id});
    whole_first_.Add(pieces_[id].front());
    if (vocabulary_.KindOf(id) == TokenKind::kUserDefined) plain_first_.Add(pieces_[id].front());
  }
  whole_tokens_ = TokenTrie(std::move(entries));
}

void Tokenizer::CollectEnds() {
  for (const std::int32_t id : {vocabulary_.eos, vocabulary_.eot}) {
    if (id >= 0) ends_.push_back(id);
  }
  for (std::int32_t id = 0; id < vocab_size(); ++id) {
    const TokenKind kind = vocabulary_.KindOf(id);
    if (kind != TokenKind::kControl && kind != TokenKind::kUserDefined) continue;
    const auto& name = vocabulary_.tokens[id];
    if (std::find(kEndNames.begin(), kEndNames.end(), name) != kEndNames.end()) ends_.push_back(id);
  }
}

// The longest token at `at`, without spaces around it.
std::optional<Tokenizer::Found> Tokenizer::LongestAt(std::string_view text, std::size_t at,
                                                     bool parse_special) const {
  std::optional<Found> longest;
  whole_tokens_.ForEachPrefix(text.substr(at), [&](std::size_t length, std::span<const std::int32_t> ids) {
    for (const std::int32_t id : ids) {
      if (!parse_special && vocabulary_.KindOf(id) != TokenKind::kUserDefined) continue;
      longest = Found{id, at, at + length};
      return;
    }
  });
  return longest;
}

// The first token at or after `from`. Its rules are those of huggingface/tokenizers (added_vocabulary.rs): a
// token that would be part of a word is skipped as a whole, and only then are spaces stripped.
std::optional<Tokenizer::Found> Tokenizer::NextWhole(std::string_view text, std::size_t from,
                                                     bool parse_special) const {
  const FirstBytes& first = parse_special ? whole_first_ : plain_first_;
  for (std::size_t at = from; (at = first.Next(text, at)) < text.size();) {
    std::optional<Found> found = LongestAt(text, at, parse_special);
    if (!found) {
      ++at;
      continue;
    }
    const auto edges = vocabulary_.edges.find(found->id);
    if (edges == vocabulary_.edges.end()) return found;
    const std::string_view before = text.substr(0, found->begin), after = text.substr(found->end);
    if (edges->second.single_word && (EndsInsideWord(before) || BeginsInsideWord(after))) {
      at = found->end;
      continue;
    }
    if (edges->second.lstrip) found->begin = std::max(from, found->begin - TrailingWhiteSpace(before));
    if (edges->second.rstrip) found->end += LeadingWhiteSpace(after);
    return found;
  }
  return std::nullopt;
}

std::vector<std::int32_t> Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<std::int32_t> ids;
  ids.reserve(text.size() / 4 + 8);
  if (options.add_bos && bos() >= 0) ids.push_back(bos());
  bool first = true;
  for (std::size_t at = 0; at < text.size();) {
    const std::optional<Found> token = NextWhole(text, at, options.parse_special);
    const std::size_t end = token ? token->begin : text.size();
    if (end > at) {
      EncodeText(text.substr(at, end - at), first, ids);
      first = false;
    }
    if (!token) break;
    ids.push_back(token->id);
    first = true;
    at = token->end;
  }
  if (options.add_eos && eos() >= 0) ids.push_back(eos());
  return ids;
}

bool Tokenizer::TakesSpacePrefix() const {
  return vocabulary_.kind == Vocabulary::Kind::kSpm && vocabulary_.add_space_prefix;
}

std::string Tokenizer::Decode(std::span<const std::int32_t> ids, const DecodeOptions& options) const {
  std::string text;
  text.reserve(ids.size() * 4);
  bool begins = !options.continues;
  for (const std::int32_t id : ids) AppendDecoded(id, options.special, begins, text);
  return text;
}

void Tokenizer::AppendDecoded(std::int32_t id, bool special, bool& begins, std::string& text) const {
  std::string_view piece = Piece(id);
  if (IsWhole(id)) {
    if (special || !IsControl(id)) text += piece;
    begins = true;
    return;
  }
  // Drops the space that encoding put there, even after a control token that is left out.
  if (begins && TakesSpacePrefix() && piece.starts_with(' ')) piece.remove_prefix(1);
  begins = false;
  text += piece;
}

bool Tokenizer::BeginsAfter(std::span<const std::int32_t> ids) const {
  return ids.empty() || (ids.back() >= 0 && ids.back() < vocab_size() && IsWhole(ids.back()));
}

std::string_view Tokenizer::Piece(std::int32_t id) const {
  if (id < 0 || id >= vocab_size()) {
    Fail(ErrorKind::kBadOption, "token {} does not exist: ids are 0 to {}", id, vocab_size() - 1);
  }
  return pieces_[id];
}

std::optional<std::int32_t> Tokenizer::Find(std::string_view token) const {
  const auto found = std::find(vocabulary_.tokens.begin(), vocabulary_.tokens.end(), token);
  if (found == vocabulary_.tokens.end()) return std::nullopt;
  return static_cast<std::int32_t>(found - vocabulary_.tokens.begin());
}

bool Tokenizer::IsControl(std::int32_t id) const {
  return id >= 0 && id < vocab_size() && vocabulary_.KindOf(id) == TokenKind::kControl;
}

bool Tokenizer::IsEndOfGeneration(std::int32_t id) const {
  return std::find(ends_.begin(), ends_.end(), id) != ends_.end();
}

}  // namespace longspan
