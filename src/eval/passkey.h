// Passkey retrieval: does a model find a number that it read long ago? (Mohtashami & Jaggi 2023,
// section 4.2.)
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "data/passkey.h"
#include "infer/sequence.h"

namespace longspan {

struct PasskeyOptions {
  std::vector<std::int64_t> lengths;  // tokens of a prompt
  std::int64_t depths = 5;            // places of the key, evenly from the start (0) to the end (1)
  std::int64_t trials = 10;           // prompts at each length and depth
  std::int64_t max_new_tokens = 10;   // in which the answer must come

  // Where depth number `i` is: 0 to 1; a single depth is the middle.
  double Depth(std::int64_t i) const;
  void Validate() const;  // Error(kBadOption)
};

struct PasskeyQuestion {
  std::vector<std::int32_t> tokens;  // the prompt, BOS included
  std::int64_t key = 0;
};

// Makes the prompt of `length` tokens with its key at `depth`; the same for the same arguments.
using PasskeyMaker = std::function<PasskeyQuestion(std::int64_t length, double depth, std::int64_t trial)>;
// The prompts of data/passkey.h, drawn from `seed`; `passkey` must outlive them.
PasskeyMaker PasskeyPrompts(const Passkey& passkey, std::uint64_t seed);

using TokenDecoder = std::function<std::string(std::span<const std::int32_t> tokens)>;

struct PasskeyTally {
  std::int64_t length = 0;
  double depth = 0;
  std::int64_t trials = 0;
  std::int64_t found = 0;
  double accuracy() const {
    return trials == 0 ? 0.0 : static_cast<double>(found) / static_cast<double>(trials);
  }
};

struct PasskeyResult {
  std::vector<std::int64_t> lengths;
  std::int64_t depths = 0;
  std::vector<PasskeyTally> tallies;  // [lengths, depths]
  double seconds = 0;

  const PasskeyTally& at(std::size_t length, std::size_t depth) const {
    return tallies[length * static_cast<std::size_t>(depths) + depth];
  }
  double Accuracy(std::size_t length) const;  // over all depths
};

// Greedy answers. What a prompt shares with another of its length is read once.
PasskeyResult MeasurePasskey(Sequence& model, const PasskeyMaker& make, const TokenDecoder& decode,
                             const PasskeyOptions& options, Progress& progress = NoProgress());

// The first run of digits in `text`; nothing where there is none or it is too long for a key.
std::optional<std::int64_t> FirstInteger(std::string_view text);

}  // namespace longspan
