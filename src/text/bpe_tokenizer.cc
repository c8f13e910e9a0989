#include "text/bpe_tokenizer.h"

#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "base/error.h"
#include "formats/byte_reader.h"
#include "text/byte_alphabet.h"

namespace longspan {
namespace {

std::string BytesOf(const Vocabulary& vocabulary, std::int32_t id) {
  const std::string& token = vocabulary.tokens[id];
  return vocabulary.KindOf(id) == TokenKind::kNormal ? FromByteAlphabet(token) : token;
}

std::uint64_t Pair(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

}  // namespace

BpeTokenizer::BpeTokenizer(Vocabulary from)
    : Tokenizer(std::move(from), BytesOf), pre_tokenizer_(vocabulary().pre) {
  ids_.reserve(vocab_size());
  for (std::int32_t id = 0; id < vocab_size(); ++id) {
    if (vocabulary().KindOf(id) == TokenKind::kNormal) ids_.try_emplace(Piece(id), id);
  }
  CollectBytes();
  CollectMerges();
}

void BpeTokenizer::CollectBytes() {
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    const auto found = ids_.find(std::string_view(&text, 1));
    // A vocabulary without a letter or a space is not made for text, or is not byte-level.
    if (found == ids_.end() && byte >= 0x20 && byte <= 0x7E) {
      Fail(ErrorKind::kInvalidFile,
           "tokenizer: a byte-level vocabulary without a token for \"{}\" (0x{:02X})", text, byte);
    }
    byte_ids_[byte] = found == ids_.end() ? -1 : found->second;
  }
}

void BpeTokenizer::CollectMerges() {
  const auto& merges = vocabulary().merges;
  merges_.reserve(merges.size());
  std::string joined;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size()) {
      Fail(ErrorKind::kInvalidFile, "tokenizer: merge {} is \"{}\", expected two tokens and a space between",
           rank, Printable(merge));
    }
    const std::string left = FromByteAlphabet(merge.substr(0, space));
    const std::string right = FromByteAlphabet(merge.substr(space + 1));
    joined = left + right;
    const auto l = ids_.find(left), r = ids_.find(right), j = ids_.find(joined);
    // Ids cannot express a merge of or into text that is not a token.
    if (l == ids_.end() || r == ids_.end() || j == ids_.end()) continue;
    merges_.try_emplace(Pair(l->second, r->second),
                        SymbolCells::Join{static_cast<std::uint32_t>(rank), j->second});
  }
}

struct BpeTokenizer::Pairs {
  const BpeTokenizer& tokenizer;

  // A symbol is a token, and covers as many cells as it has bytes.
  std::int64_t Size(std::int32_t id) const { return std::ssize(tokenizer.Piece(id)); }
  std::optional<SymbolCells::Join> Find(std::int64_t /*at*/, std::int32_t left, std::int32_t right) const {
    const auto found = tokenizer.merges_.find(Pair(left, right));
    return found == tokenizer.merges_.end() ? std::nullopt : std::optional(found->second);
  }
};

void BpeTokenizer::EncodeText(std::string_view text, bool /*first*/, std::vector<std::int32_t>& ids) const {
  pre_tokenizer_.ForEachWord(text, [&](std::string_view word) {
    if (word.size() == 1) {
      const std::int32_t id = byte_ids_[static_cast<std::uint8_t>(word[0])];
      if (id >= 0)
        ids.push_back(id);
      else
        CountLeftOut(1);
      return;
    }
    if (pre_tokenizer_.takes_whole_words()) {
      if (const auto whole = ids_.find(word); whole != ids_.end()) {
        ids.push_back(whole->second);
        return;
      }
    }
    if (cache_.Find(word, ids)) return;
    const std::size_t begin = ids.size();
    // A word that loses bytes is not remembered, so that it is counted each time.
    if (const std::int64_t left_out = MergeWord(word, ids); left_out > 0)
      CountLeftOut(left_out);
    else
      cache_.Add(word, std::span(ids).subspan(begin));
  });
}

std::int64_t BpeTokenizer::MergeWord(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (word.size() > std::numeric_limits<std::int32_t>::max()) {
    Fail(ErrorKind::kUnsupported, "a single word of {} bytes is too long to tokenize", word.size());
  }
  std::int64_t left_out = 0;
  SymbolCells cells(word.size());
  for (const char c : word) {
    const std::int32_t id = byte_ids_[static_cast<std::uint8_t>(c)];
    if (id >= 0)
      cells.Append(id, 1);
    else
      ++left_out;
  }
  const Pairs pairs{*this};
  cells.Merge(pairs);
  cells.ForEach(pairs, [&](std::int64_t, std::int32_t id) { ids.push_back(id); });
  return left_out;
}

}  // namespace longspan
