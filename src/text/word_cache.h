// Remembers how words were tokenised. Text repeats its words; merging each once is what makes encoding fast.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace longspan {

// Lets a map of strings be asked with a string_view.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

// Bounded, and safe to use from several threads: a thread that finds a shard busy does without it, because
// merging a word costs less than waiting.
class WordCache {
 public:
  // Appends the ids of `word`, if it is known, to `ids`.
  bool Find(std::string_view word, std::vector<std::int32_t>& ids) {
    if (word.size() > kLongestWord) return false;
    Shard& shard = ShardOf(word);
    const std::unique_lock lock(shard.mutex, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    const auto found = shard.words.find(word);
    if (found == shard.words.end()) return false;
    ids.insert(ids.end(), found->second.begin(), found->second.end());
    return true;
  }

  void Add(std::string_view word, std::span<const std::int32_t> ids) {
    if (word.size() > kLongestWord) return;
    Shard& shard = ShardOf(word);
    const std::unique_lock lock(shard.mutex, std::try_to_lock);
    if (!lock.owns_lock() || shard.words.size() >= kWordsPerShard) return;
    shard.words.try_emplace(std::string(word), ids.begin(), ids.end());
  }

 private:
  static constexpr std::size_t kShards = 16, kWordsPerShard = 8192, kLongestWord = 64;

  struct Shard {
    std::mutex mutex;
    std::unordered_map<std::string, std::vector<std::int32_t>, StringHash, std::equal_to<>> words;
  };
  // The map uses the hash's low bits; the shard is chosen by high ones.
  Shard& ShardOf(std::string_view word) { return shards_[StringHash{}(word) >> 40 & (kShards - 1)]; }

  std::array<Shard, kShards> shards_;
};

}  // namespace longspan
