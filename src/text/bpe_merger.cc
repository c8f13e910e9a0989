#include "text/bpe_merger.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <string>

#include "base/error.h"
#include "formats/byte_reader.h"
#include "text/byte_alphabet.h"
#include "text/symbol_merger.h"

namespace longspan {
namespace {

// Up to here, looking for the best pair again after each merge is quicker than a queue.
constexpr std::size_t kShortWord = 96;

constexpr std::uint32_t kNone = MergeTable::kNone;

std::uint64_t PairKey(std::uint32_t rank, int at) {
  return std::uint64_t{rank} << 32 | static_cast<unsigned>(at);
}

std::uint64_t Smallest(std::span<const std::uint64_t> keys) {
  // Two at a time, because each comparison waits for the one before it.
  std::uint64_t even = keys[0], odd = even;
  std::size_t i = 1;
  for (; i + 1 < keys.size(); i += 2) {
    even = std::min(even, keys[i]);
    odd = std::min(odd, keys[i + 1]);
  }
  if (i < keys.size()) even = std::min(even, keys[i]);
  return std::min(even, odd);
}

}  // namespace

BpeMerger::BpeMerger(const Tokenizer& tokenizer, const TokenIndex& index)
    : tokenizer_(tokenizer),
      merges_(static_cast<std::size_t>(tokenizer.vocab_size()), tokenizer.vocabulary().merges.size()) {
  CollectBytes(index);
  CollectMerges(index);
}

void BpeMerger::CollectBytes(const TokenIndex& index) {
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    byte_ids_[byte] = index.Find(std::string_view(&text, 1));
    // A vocabulary without a letter or a space is not made for text, or is not byte-level.
    if (byte_ids_[byte] < 0 && byte >= 0x20 && byte <= 0x7E) {
      Fail(ErrorKind::kInvalidFile,
           "tokenizer: a byte-level vocabulary without a token for \"{}\" (0x{:02X})", text, byte);
    }
  }
}

void BpeMerger::CollectMerges(const TokenIndex& index) {
  const auto& merges = tokenizer_.vocabulary().merges;
  std::string joined;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size()) {
      Fail(ErrorKind::kInvalidFile, "tokenizer: merge {} is \"{}\", expected two tokens and a space between",
           rank, Printable(merge));
    }
    joined = FromByteAlphabet(merge.substr(0, space));
    const std::size_t left_size = joined.size();
    joined += FromByteAlphabet(merge.substr(space + 1));
    const std::string_view both = joined;
    const std::int32_t left = index.Find(both.substr(0, left_size)),
                       right = index.Find(both.substr(left_size));
    const std::int32_t whole = index.Find(both);
    // Ids cannot express a merge of or into text that is not a token.
    if (left >= 0 && right >= 0 && whole >= 0)
      merges_.Add(left, right, static_cast<std::uint32_t>(rank), whole);
  }
  byte_ranks_.resize(std::size_t{256} * 256, kNone);
  for (int left = 0; left < 256; ++left) {
    for (int right = 0; right < 256; ++right) {
      if (byte_ids_[left] < 0 || byte_ids_[right] < 0) continue;
      byte_ranks_[left * 256 + right] = merges_.Rank(byte_ids_[left], byte_ids_[right]);
    }
  }
}

std::int64_t BpeMerger::Merge(std::string_view word, std::vector<std::int32_t>& ids) const {
  return word.size() <= kShortWord ? MergeShort(word, ids) : MergeLong(word, ids);
}

std::int64_t BpeMerger::MergeShort(std::string_view word, std::vector<std::int32_t>& ids) const {
  // A symbol stays where it begins; what it takes in is skipped.
  std::array<std::int32_t, kShortWord> symbols;
  std::array<std::uint8_t, kShortWord> next, previous;
  std::array<std::uint64_t, kShortWord> pairs;  // by its left symbol: the rank of its merge, then its place
  int size = 0;
  for (std::uint8_t last = 0; const char c : word) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (byte_ids_[byte] < 0) continue;
    if (size > 0) pairs[size - 1] = PairKey(byte_ranks_[last * 256 + byte], size - 1);
    symbols[size] = byte_ids_[byte];
    previous[size] = static_cast<std::uint8_t>(size - 1);
    next[size] = static_cast<std::uint8_t>(size + 1);
    last = byte;
    ++size;
  }
  const std::int64_t left_out = std::ssize(word) - size;
  while (size > 1) {
    const std::uint64_t best = Smallest(std::span(pairs).first(size - 1));
    const auto rank = static_cast<std::uint32_t>(best >> 32);
    if (rank == kNone) break;
    const int at = static_cast<int>(best & 0xFF), right = next[at], after = next[right];
    const std::int32_t joined = symbols[at] = merges_.Joined(rank);
    if (after < size) {
      merges_.Prefetch(joined, symbols[after]);
      previous[after] = static_cast<std::uint8_t>(at);
    }
    next[at] = static_cast<std::uint8_t>(after);
    if (right < size - 1) pairs[right] = PairKey(kNone, right);
    if (at > 0) {
      const int before = previous[at];
      pairs[before] = PairKey(merges_.Rank(symbols[before], joined), before);
    }
    if (at < size - 1) pairs[at] = PairKey(after < size ? merges_.Rank(joined, symbols[after]) : kNone, at);
  }
  for (int at = 0; at < size; at = next[at]) ids.push_back(symbols[at]);
  return left_out;
}

struct BpeMerger::Pairs {
  const BpeMerger& merger;

  // A symbol is a token, and covers as many cells as it has bytes.
  std::int64_t Size(std::int32_t id) const { return std::ssize(merger.tokenizer_.Piece(id)); }
  std::optional<SymbolCells::Join> Find(std::int64_t /*at*/, std::int32_t left, std::int32_t right) const {
    const std::uint32_t rank = merger.merges_.Rank(left, right);
    if (rank == kNone) return std::nullopt;
    return SymbolCells::Join{rank, merger.merges_.Joined(rank)};
  }
};

std::int64_t BpeMerger::MergeLong(std::string_view word, std::vector<std::int32_t>& ids) const {
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
