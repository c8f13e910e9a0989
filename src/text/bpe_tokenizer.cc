#include "text/bpe_tokenizer.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <utility>

#include "base/parallel.h"
#include "text/byte_alphabet.h"

namespace longspan {
namespace {

// Longer texts are cut into parts of about this many bytes, for threads.
constexpr std::size_t kPart = std::size_t{1} << 18;

std::string BytesOf(const Vocabulary& vocabulary, std::int32_t id) {
  const std::string& token = vocabulary.tokens[id];
  return vocabulary.KindOf(id) == TokenKind::kNormal ? FromByteAlphabet(token) : token;
}

TokenIndex NormalTokens(const Tokenizer& tokenizer) {
  TokenIndex index(static_cast<std::size_t>(tokenizer.vocab_size()));
  for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.vocabulary().KindOf(id) == TokenKind::kNormal) index.Add(tokenizer.Piece(id), id);
  }
  return index;
}

}  // namespace

BpeTokenizer::BpeTokenizer(Vocabulary from)
    : Tokenizer(std::move(from), BytesOf),
      pre_tokenizer_(vocabulary().pre),
      index_(NormalTokens(*this)),
      merger_(*this, index_) {}

void BpeTokenizer::EncodeText(std::string_view text, bool /*first*/, std::vector<std::int32_t>& ids) const {
  if (text.size() <= kPart) return EncodePart(text, ids);
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = PreTokenizer::SafeCut(text, std::min(begin + kPart, text.size()));
    parts.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  std::vector<std::vector<std::int32_t>> ids_of(parts.size());
  ParallelFor(std::ssize(parts), [&](std::int64_t i) { EncodePart(parts[i], ids_of[i]); });
  for (std::vector<std::int32_t>& part : ids_of) {
    ids.insert(ids.end(), part.begin(), part.end());
    part = {};
  }
}

void BpeTokenizer::EncodePart(std::string_view text, std::vector<std::int32_t>& ids) const {
  const WordCaches::Lease cache(caches_);
  pre_tokenizer_.Split(text, [&](const WordBatch& batch) { EncodeWords(batch, *cache, ids); });
}

void BpeTokenizer::EncodeWords(const WordBatch& batch, WordCache& cache,
                               std::vector<std::int32_t>& ids) const {
  using Short = WordCache::Short;
  using Long = WordCache::Long;
  auto& [short_words, long_words] = cache;
  // First asks for the memory of all words, so that none waits for it.
  std::array<Short::Key, WordEnds::kMost> short_keys;
  std::array<Long::Key, WordEnds::kMost> long_keys;
  std::size_t begin = batch.begin;
  for (std::size_t i = 0; i < batch.ends.size(); ++i) {
    const std::size_t size = batch.ends[i] - begin;
    if (size <= Short::kLongest) {
      short_words.SetKey(batch.text, begin, size, short_keys[i]);
      short_words.Prefetch(short_keys[i]);
    } else if (size <= Long::kLongest) {
      long_words.SetKey(batch.text, begin, size, long_keys[i]);
      long_words.Prefetch(long_keys[i]);
    }
    begin = batch.ends[i];
  }
  // Ids of known words, which are copied together.
  std::array<std::int32_t, WordEnds::kMost * Long::kMostIds> known;
  std::size_t count = 0;
  const auto append = [&](const auto* value) {
    if (value == nullptr) return false;
    std::copy(value->ids.begin(), value->ids.end(), known.begin() + static_cast<std::ptrdiff_t>(count));
    count += value->count;
    return true;
  };
  const auto finish = [&] {
    ids.insert(ids.end(), known.begin(), known.begin() + static_cast<std::ptrdiff_t>(count));
    count = 0;
  };
  begin = batch.begin;
  for (std::size_t i = 0; i < batch.ends.size(); ++i) {
    const std::size_t end = batch.ends[i], size = end - begin;
    const bool is_known = size <= Short::kLongest  ? append(short_words.Find(short_keys[i]))
                          : size <= Long::kLongest ? append(long_words.Find(long_keys[i]))
                                                   : false;
    if (!is_known) {
      finish();
      EncodeRareWord(batch.text, begin, end, cache, ids);
    }
    begin = end;
  }
  finish();
}

void BpeTokenizer::EncodeRareWord(std::string_view text, std::size_t begin, std::size_t end, WordCache& cache,
                                  std::vector<std::int32_t>& ids) const {
  if (cache.Find(text, begin, end, ids)) return;
  const std::string_view word = text.substr(begin, end - begin);
  const std::size_t first = ids.size();
  if (const std::int32_t whole = pre_tokenizer_.takes_whole_words() ? index_.Find(word) : -1; whole >= 0) {
    ids.push_back(whole);
  } else if (const std::int64_t left_out = merger_.Merge(word, ids); left_out > 0) {
    CountLeftOut(left_out);
    return;  // not remembered, so that it is counted each time
  }
  cache.Add(text, begin, end, std::span(ids).subspan(first));
}

}  // namespace longspan
