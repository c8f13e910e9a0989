#include "text/bpe_tokenizer.h"

#include <algorithm>
#include <limits>
#include <queue>
#include <span>
#include <tuple>
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

// A word while it is merged: a doubly linked list of symbols in a vector.
struct Symbol {
  std::int32_t id;
  std::int32_t previous, next;  // -1: none
};

struct Candidate {
  std::int32_t rank;
  std::int32_t at;           // index of the left symbol
  std::int32_t left, right;  // the ids when this was pushed: if they have changed, it is void
  std::int32_t joined;

  // std::priority_queue yields the greatest: the lowest rank, and of equal ones the leftmost.
  bool operator<(const Candidate& other) const { return std::tie(other.rank, other.at) < std::tie(rank, at); }
};

}  // namespace

BpeTokenizer::BpeTokenizer(Vocabulary from)
    : Tokenizer(std::move(from), BytesOf), pre_tokenizer_(vocabulary().pre) {
  ids_.reserve(static_cast<std::size_t>(vocab_size()));
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
    if (found == ids_.end()) {
      Fail(ErrorKind::kInvalidFile,
           "tokenizer: a byte-level vocabulary has a token for every byte; 0x{:02X} has none", byte);
    }
    byte_ids_[byte] = found->second;
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
    // A merge of or into what is no token could not be written down as ids.
    if (l == ids_.end() || r == ids_.end() || j == ids_.end()) continue;
    merges_.try_emplace(Pair(l->second, r->second), Merge{static_cast<std::int32_t>(rank), j->second});
  }
}

const BpeTokenizer::Merge* BpeTokenizer::FindMerge(std::int32_t left, std::int32_t right) const {
  const auto found = merges_.find(Pair(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void BpeTokenizer::EncodeText(std::string_view text, bool /*first*/, std::vector<std::int32_t>& ids) const {
  pre_tokenizer_.Split(text, [&](std::string_view word) {
    if (word.size() == 1) {
      ids.push_back(byte_ids_[static_cast<std::uint8_t>(word[0])]);
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
    MergeWord(word, ids);
    cache_.Add(word, std::span(ids).subspan(begin));
  });
}

void BpeTokenizer::MergeWord(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (word.size() > std::numeric_limits<std::int32_t>::max()) {
    Fail(ErrorKind::kUnsupported, "a single word of {} bytes is too long to tokenize", word.size());
  }
  const auto size = static_cast<std::int32_t>(word.size());
  std::vector<Symbol> symbols(word.size());
  std::vector<Candidate> storage;
  storage.reserve(word.size() * 2);
  std::priority_queue<Candidate> queue({}, std::move(storage));
  const auto propose = [&](std::int32_t at) {
    if (at < 0 || symbols[at].next < 0) return;
    const Symbol& left = symbols[at];
    const Symbol& right = symbols[left.next];
    if (const Merge* merge = FindMerge(left.id, right.id))
      queue.push({merge->rank, at, left.id, right.id, merge->id});
  };

  for (std::int32_t i = 0; i < size; ++i) {
    const auto byte = static_cast<std::uint8_t>(word[i]);
    symbols[i] = {byte_ids_[byte], i - 1, i + 1 < size ? i + 1 : -1};
  }
  for (std::int32_t i = 0; i + 1 < size; ++i) propose(i);

  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.at];
    if (left.id != best.left || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    if (right.id != best.right) continue;
    left.id = best.joined;
    left.next = right.next;
    right.id = -1;  // so that candidates that begin here are void
    if (left.next >= 0) symbols[left.next].previous = best.at;
    propose(left.previous);
    propose(best.at);
  }
  for (std::int32_t i = 0; i >= 0; i = symbols[i].next) {
    ids.push_back(symbols[i].id);
  }
}

}  // namespace longspan
