// A batch of training examples.
#pragma once

#include <cstdint>
#include <vector>

namespace longspan {

// `sequences` rows of `length` tokens. Three things that are easily confused are kept apart:
//   order     the index within the row: the causal mask goes by it and by nothing else
//   position  what RoPE rotates by: PoSE changes it, and jumps in it mean nothing to the mask
//   document  which text a token is from: attention never crosses documents packed into one row
struct Batch {
  static constexpr std::int32_t kIgnore = -1;  // a target that is not scored

  std::int64_t sequences = 0;
  std::int64_t length = 0;
  // Each [sequences * length].
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> targets;  // the token to predict at this place, or kIgnore
  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> documents;  // non-decreasing within a row
  std::int64_t padding = 0;             // tokens that only fill rows up; the rest were read

  Batch() = default;
  Batch(std::int64_t sequences_in, std::int64_t length_in)
      : sequences(sequences_in),
        length(length_in),
        tokens(static_cast<std::size_t>(size())),
        targets(tokens.size(), kIgnore),
        positions(tokens.size()),
        documents(tokens.size()) {}

  std::int64_t size() const { return sequences * length; }
  std::int64_t text_tokens() const { return size() - padding; }
};

}  // namespace longspan
