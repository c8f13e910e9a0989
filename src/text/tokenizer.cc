#include "text/tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "text/bpe_tokenizer.h"
#include "text/spm_tokenizer.h"

namespace longspan {
namespace {

// Names under which models end their turn. Files that predate the key for it say so by name only.
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
  CollectLiterals();
  CollectEnds();
}

void Tokenizer::CollectLiterals() {
  for (std::int32_t id = 0; id < vocab_size(); ++id) {
    const TokenKind kind = vocabulary_.KindOf(id);
    const bool always = kind == TokenKind::kUserDefined;
    if (!always && kind != TokenKind::kControl && kind != TokenKind::kUnknown) continue;
    const std::string_view text = pieces_[static_cast<std::size_t>(id)];
    if (!text.empty()) literals_[static_cast<std::uint8_t>(text[0])].push_back({text, id, always});
  }
  for (auto& literals : literals_) {
    std::stable_sort(literals.begin(), literals.end(),
                     [](const Literal& a, const Literal& b) { return a.text.size() > b.text.size(); });
  }
}

void Tokenizer::CollectEnds() {
  for (const std::int32_t id : {vocabulary_.eos, vocabulary_.eot}) {
    if (id >= 0) ends_.push_back(id);
  }
  for (std::int32_t id = 0; id < vocab_size(); ++id) {
    const TokenKind kind = vocabulary_.KindOf(id);
    if (kind != TokenKind::kControl && kind != TokenKind::kUserDefined) continue;
    const auto& name = vocabulary_.tokens[static_cast<std::size_t>(id)];
    if (std::find(kEndNames.begin(), kEndNames.end(), name) != kEndNames.end()) ends_.push_back(id);
  }
}

const Tokenizer::Literal* Tokenizer::LiteralAt(std::string_view text, bool parse_special) const {
  for (const Literal& literal : literals_[static_cast<std::uint8_t>(text[0])]) {
    if ((literal.always || parse_special) && text.starts_with(literal.text)) return &literal;
  }
  return nullptr;
}

std::vector<std::int32_t> Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<std::int32_t> ids;
  ids.reserve(text.size() / 4 + 8);
  if (options.add_bos && bos() >= 0) ids.push_back(bos());
  bool first = true;
  std::size_t begin = 0, at = 0;
  const auto encode_up_to = [&](std::size_t end) {
    if (end == begin) return;
    EncodeText(text.substr(begin, end - begin), first, ids);
    first = false;
  };
  while (at < text.size()) {
    const Literal* literal = LiteralAt(text.substr(at), options.parse_special);
    if (literal == nullptr) {
      ++at;
      continue;
    }
    encode_up_to(at);
    ids.push_back(literal->id);
    first = true;
    at += literal->text.size();
    begin = at;
  }
  encode_up_to(text.size());
  if (options.add_eos && eos() >= 0) ids.push_back(eos());
  return ids;
}

bool Tokenizer::TakesSpacePrefix() const {
  return vocabulary_.kind == Vocabulary::Kind::kSpm && vocabulary_.add_space_prefix;
}

std::string Tokenizer::Decode(std::span<const std::int32_t> ids, const DecodeOptions& options) const {
  std::string text;
  text.reserve(ids.size() * 4);
  bool first = !options.continues;
  for (const std::int32_t id : ids) {
    std::string_view piece = Piece(id);
    const TokenKind kind = vocabulary_.KindOf(id);
    if (kind == TokenKind::kControl || kind == TokenKind::kUserDefined || kind == TokenKind::kUnknown) {
      if (options.special || kind != TokenKind::kControl) text += piece;
      first = true;
      continue;
    }
    // The space that encoding put there. A control token that is left out hides such a space just as well.
    if (first && TakesSpacePrefix() && piece.starts_with(' ')) piece.remove_prefix(1);
    first = false;
    text += piece;
  }
  return text;
}

std::string_view Tokenizer::Piece(std::int32_t id) const {
  if (id < 0 || id >= vocab_size()) {
    Fail(ErrorKind::kBadOption, "token {} does not exist: ids are 0 to {}", id, vocab_size() - 1);
  }
  return pieces_[static_cast<std::size_t>(id)];
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
