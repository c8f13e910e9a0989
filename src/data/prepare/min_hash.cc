#include "data/prepare/min_hash.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "data/prepare/hash_minima.h"

namespace longspan {
namespace {

constexpr std::size_t kBlock = 1024;  // shingles that are hashed at once

constexpr std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ x >> 32) * 0xD6E8FEB86659FD93u;
  x = (x ^ x >> 32) * 0xD6E8FEB86659FD93u;
  return x ^ x >> 32;
}

// With odd a, each function is one to one: the smallest value belongs to one shingle.
constexpr HashFunctions kFunctions = [] {
  HashFunctions functions{};
  for (int i = 0; i < kMinHashes; ++i) {
    functions.a[i] = static_cast<std::uint32_t>(Mix(2 * i + 1)) | 1;
    functions.b[i] = static_cast<std::uint32_t>(Mix(2 * i + 2));
  }
  return functions;
}();
static_assert(kMinHashBands * kMinHashRows == kMinHashes);

constexpr auto kLetters = [] {
  std::array<unsigned char, 256> letters{};  // what a byte of a word counts as; 0: no part of one
  for (int c = 0; c < 256; ++c) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool word = upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80;
    letters[c] = static_cast<unsigned char>(upper ? c | 0x20 : word ? c : 0);
  }
  return letters;
}();

class Shingles {
 public:
  explicit Shingles(HashMinima& minima) : minima_(minima) { block_.reserve(kBlock); }

  void AddWord(std::uint64_t word) {
    std::copy(words_.begin() + 1, words_.end(), words_.begin());
    words_.back() = word;
    if (++count_ >= kShingleWords) AddShingle();
  }
  // Whether there was a word.
  bool Finish() {
    if (count_ > 0 && count_ < kShingleWords) AddShingle();
    LowerMinima(block_, kFunctions, minima_);
    return count_ > 0;
  }

 private:
  void AddShingle() {
    std::uint64_t hash = 0;
    for (const std::uint64_t word : words_) hash = (hash + word) * 0x9E3779B97F4A7C15u;
    block_.push_back(static_cast<std::uint32_t>(Mix(hash)));
    if (block_.size() < kBlock) return;
    LowerMinima(block_, kFunctions, minima_);
    block_.clear();
  }

  HashMinima& minima_;
  std::vector<std::uint32_t> block_;
  std::array<std::uint64_t, kShingleWords> words_{};
  std::int64_t count_ = 0;
};

}  // namespace

BandKeys BandKeysOf(std::string_view text) {
  HashMinima minima;
  minima.values.fill(UINT32_MAX);
  Shingles shingles(minima);
  constexpr std::uint64_t kBegin = 0xCBF29CE484222325u;
  std::uint64_t word = kBegin;
  for (const char c : text) {
    const unsigned char letter = kLetters[static_cast<unsigned char>(c)];
    if (letter != 0) {
      word = (word ^ letter) * 0x100000001B3u;
    } else if (word != kBegin) {
      shingles.AddWord(word);
      word = kBegin;
    }
  }
  if (word != kBegin) shingles.AddWord(word);
  if (!shingles.Finish()) return kNoBandKeys;
  BandKeys keys;
  for (int band = 0; band < kMinHashBands; ++band) {
    std::uint64_t key = static_cast<std::uint64_t>(band) + 1;
    for (int row = 0; row < kMinHashRows; ++row) key = Mix(key + minima.values[band * kMinHashRows + row]);
    keys[band] = key;
  }
  return keys;
}

}  // namespace longspan
