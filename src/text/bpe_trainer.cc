#include "text/bpe_trainer.h"

#include <algorithm>
#include <limits>
#include <queue>
#include <tuple>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "text/byte_alphabet.h"

namespace longspan {
namespace {

constexpr const char* kPreTokenizer = "llama-bpe";
constexpr std::int32_t kBytes = 256;

using Pair = std::pair<std::int32_t, std::int32_t>;

struct PairHash {
  std::size_t operator()(const Pair& pair) const {
    const std::uint64_t key =
        std::uint64_t{static_cast<std::uint32_t>(pair.first)} << 32 | static_cast<std::uint32_t>(pair.second);
    return static_cast<std::size_t>((key ^ key >> 31) * 0x9E3779B97F4A7C15);
  }
};

// The pairs of all words, kept up to date while symbols are merged. A merge touches only the words that hold
// its pair.
class PairCounter {
 public:
  explicit PairCounter(std::span<const std::pair<std::string_view, std::int64_t>> words) {
    std::size_t total = 0;
    for (const auto& [text, count] : words) total += text.size();
    symbols_.reserve(total);
    words_.reserve(words.size());
    for (const auto& [text, count] : words) {
      words_.push_back({symbols_.size(), text.size(), count});
      for (const char byte : text) symbols_.push_back(static_cast<std::uint8_t>(byte));
    }
    for (std::size_t word = 0; word < words_.size(); ++word) {
      const std::span<std::int32_t> symbols = SymbolsOf(words_[word]);
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        Change({symbols[i], symbols[i + 1]}, words_[word].count, static_cast<std::uint32_t>(word));
      }
    }
    PushChanged();
  }

  // Finds the most frequent pair, or among equally frequent ones that with the lowest ids. Returns false if
  // none is left.
  bool Best(Pair& pair, std::int64_t& count) {
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      const auto found = pairs_.find(best.pair);
      if (found != pairs_.end() && found->second.count == best.count && best.count > 0) {
        std::tie(pair, count) = std::pair(best.pair, best.count);
        return true;
      }
      queue_.pop();  // its count has changed since, and the new one was pushed then
    }
    return false;
  }

  // Forgets the pair.
  void Drop(const Pair& pair) { pairs_.erase(pair); }

  // Joins the pair to `joined` in every word.
  void Merge(const Pair& pair, std::int32_t joined) {
    const std::vector<std::uint32_t> words = std::move(pairs_[pair].words);
    for (const std::uint32_t word : words) MergeIn(word, pair, joined);
    pairs_.erase(pair);
    PushChanged();
  }

 private:
  struct Word {
    std::size_t begin, size;  // in symbols_
    std::int64_t count;
  };
  struct Occurrences {
    std::int64_t count = 0;
    bool changed = false;
    std::vector<std::uint32_t> words;  // that hold or held the pair; may repeat
  };
  struct Candidate {
    std::int64_t count;
    Pair pair;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  std::span<std::int32_t> SymbolsOf(const Word& word) {
    return std::span(symbols_).subspan(word.begin, word.size);
  }

  void Change(const Pair& pair, std::int64_t by, std::uint32_t word) {
    Occurrences& occurrences = pairs_[pair];
    occurrences.count += by;
    if (by > 0 && (occurrences.words.empty() || occurrences.words.back() != word))
      occurrences.words.push_back(word);
    if (!std::exchange(occurrences.changed, true)) changed_.push_back(pair);
  }

  void MergeIn(std::uint32_t index, const Pair& pair, std::int32_t joined) {
    Word& word = words_[index];
    const std::span<std::int32_t> symbols = SymbolsOf(word);
    std::size_t out = 0;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      if (i + 1 == symbols.size() || symbols[i] != pair.first || symbols[i + 1] != pair.second) {
        symbols[out++] = symbols[i];
        continue;
      }
      if (out > 0) {
        Change({symbols[out - 1], pair.first}, -word.count, index);
        Change({symbols[out - 1], joined}, word.count, index);
      }
      if (i + 2 < symbols.size()) {
        Change({pair.second, symbols[i + 2]}, -word.count, index);
        Change({joined, symbols[i + 2]}, word.count, index);
      }
      symbols[out++] = joined;
      ++i;
    }
    word.size = out;
  }

  void PushChanged() {
    for (const Pair& pair : changed_) {
      const auto found = pairs_.find(pair);
      if (found == pairs_.end()) continue;
      found->second.changed = false;
      if (found->second.count > 0)
        queue_.push({found->second.count, pair});
      else
        pairs_.erase(found);
    }
    changed_.clear();
  }

  std::vector<std::int32_t> symbols_;
  std::vector<Word> words_;
  std::unordered_map<Pair, Occurrences, PairHash> pairs_;
  std::vector<Pair> changed_;
  std::priority_queue<Candidate> queue_;
};

void CheckOptions(const TrainBpeOptions& options) {
  const auto least = kBytes + static_cast<std::int64_t>(options.special_tokens.size());
  if (options.vocab_size < least || options.vocab_size > 1 << 24) {
    Fail(ErrorKind::kBadOption, "a vocabulary of {} tokens, expected {} (the bytes and special tokens) to {}",
         options.vocab_size, least, 1 << 24);
  }
  if (options.min_frequency < 1)
    Fail(ErrorKind::kBadOption, "a minimum frequency of {}, expected 1 or more", options.min_frequency);
}

}  // namespace

BpeTrainer::BpeTrainer() : pre_tokenizer_(kPreTokenizer) {}

void BpeTrainer::Add(std::string_view text) {
  bytes_ += text.size();
  pre_tokenizer_.ForEachWord(text, [&](std::string_view word) {
    const auto found = counts_.find(word);
    if (found != counts_.end())
      ++found->second;
    else
      counts_.emplace(word, 1);
  });
}

Vocabulary BpeTrainer::Train(const TrainBpeOptions& options, Progress& progress) const {
  CheckOptions(options);
  std::vector<std::pair<std::string_view, std::int64_t>> words(counts_.begin(), counts_.end());
  std::sort(words.begin(), words.end());
  if (words.size() > std::numeric_limits<std::uint32_t>::max()) {
    Fail(ErrorKind::kUnsupported, "{} different words are too many; train on fewer bytes", words.size());
  }
  PairCounter counter(words);

  Vocabulary vocabulary;
  vocabulary.pre = kPreTokenizer;
  std::vector<std::string> tokens;  // their bytes
  std::unordered_map<std::string, std::int32_t> ids;
  const auto add = [&](std::string bytes) {
    const auto id = static_cast<std::int32_t>(tokens.size());
    vocabulary.tokens.push_back(ToByteAlphabet(bytes));
    ids.emplace(bytes, id);
    tokens.push_back(std::move(bytes));
    return id;
  };
  for (std::int32_t byte = 0; byte < kBytes; ++byte) add(std::string(1, static_cast<char>(byte)));

  const std::size_t normal = options.vocab_size - options.special_tokens.size();
  progress.Start("merges", static_cast<std::int64_t>(normal) - kBytes, "merges");
  Pair pair;
  std::int64_t count = 0;
  while (tokens.size() < normal && counter.Best(pair, count) && count >= options.min_frequency) {
    ThrowIfCancelled();
    std::string joined = tokens[pair.first] + tokens[pair.second];
    if (joined.size() > options.max_token_bytes) {
      counter.Drop(pair);
      continue;
    }
    vocabulary.merges.push_back(vocabulary.tokens[pair.first] + ' ' + vocabulary.tokens[pair.second]);
    // Two pairs may spell the same bytes (a + bc, ab + c); they are one token.
    const auto known = ids.find(joined);
    counter.Merge(pair, known != ids.end() ? known->second : add(std::move(joined)));
    progress.Update(static_cast<std::int64_t>(tokens.size()) - kBytes);
  }
  progress.Finish();

  vocabulary.kinds.assign(vocabulary.tokens.size(), TokenKind::kNormal);
  for (const std::string& special : options.special_tokens) {
    vocabulary.tokens.push_back(special);
    vocabulary.kinds.push_back(TokenKind::kControl);
  }
  const auto first_special = static_cast<std::int32_t>(tokens.size());
  if (!options.special_tokens.empty()) vocabulary.bos = first_special;
  if (options.special_tokens.size() > 1) vocabulary.eos = first_special + 1;
  vocabulary.add_bos = vocabulary.bos >= 0;
  return vocabulary;
}

Vocabulary TrainBpe(std::span<const std::string> texts, const TrainBpeOptions& options, Progress& progress) {
  BpeTrainer trainer;
  for (const std::string& text : texts) trainer.Add(text);
  return trainer.Train(options, progress);
}

}  // namespace longspan
