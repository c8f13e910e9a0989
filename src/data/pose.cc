#include "data/pose.h"

#include <algorithm>

#include "base/error.h"

namespace longspan {
namespace {

using Variant = PoseOptions::Variant;
using Lengths = PoseOptions::Lengths;

bool EqualLengths(const PoseOptions& options) {
  if (options.lengths != Lengths::kVariant) return options.lengths == Lengths::kEqual;
  return options.variant == Variant::kAxolotl;
}

// Where the chunks after the first begin.
std::vector<std::int64_t> EqualBoundaries(std::int64_t length, std::int64_t chunks) {
  std::vector<std::int64_t> boundaries;
  for (std::int64_t i = 1; i < chunks; ++i) boundaries.push_back(length * i / chunks);
  return boundaries;
}

// Each chunk takes 1 to ceil(rest / chunks left) tokens, and the last one takes all that remain. For two
// chunks this is the paper's rule, whose first chunk has 1 to ceil(length / 2) tokens.
std::vector<std::int64_t> RandomBoundaries(std::int64_t length, std::int64_t chunks, Random& random) {
  std::vector<std::int64_t> boundaries;
  std::int64_t begin = 0;
  for (std::int64_t left = chunks; left > 1; --left) {
    const std::int64_t rest = length - begin;
    begin += 1 + random.Below((rest + left - 1) / left);
    boundaries.push_back(begin);
  }
  return boundaries;
}

std::vector<std::int64_t> SplitBoundaries(std::span<const std::int32_t> tokens, const PoseOptions& options) {
  std::vector<std::int64_t> boundaries;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto& split = options.split_tokens;
    if (std::find(split.begin(), split.end(), tokens[i]) == split.end()) continue;
    // The first chunk must hold more than the BOS token.
    if (boundaries.empty() && i < 2) continue;
    boundaries.push_back(static_cast<std::int64_t>(i));
  }
  return boundaries;
}

}  // namespace

std::string_view Name(PoseOptions::Variant variant) {
  switch (variant) {
    case PoseOptions::Variant::kPaper: return "paper";
    case PoseOptions::Variant::kAxolotl: return "axolotl";
    case PoseOptions::Variant::kRandPos: return "randpos";
  }
  return "?";
}

std::string DescribeChunks(const PoseOptions& options) {
  if (options.variant == Variant::kRandPos) return "no chunks, any increasing positions";
  if (!options.split_tokens.empty()) return "chunks from each split token on";
  if (options.chunks == 1) return "1 chunk";
  return fmt::format("{} chunks of {} lengths", options.chunks, EqualLengths(options) ? "equal" : "random");
}

void ValidatePose(const PoseOptions& options, std::int64_t length) {
  if (options.target_context < 1 || options.target_context > INT32_MAX) {
    Fail(ErrorKind::kBadOption, "PoSE needs a target context, found {}", options.target_context);
  }
  if (length > options.target_context) {
    Fail(ErrorKind::kBadOption, "PoSE: an example of {} tokens has no room in a target context of {}", length,
         options.target_context);
  }
  if (options.chunks < 1) Fail(ErrorKind::kBadOption, "PoSE: {} chunks, expected at least 1", options.chunks);
  if (!(options.unmodified_share >= 0 && options.unmodified_share <= 1)) {
    Fail(ErrorKind::kBadOption, "PoSE: an unmodified share of {}, expected 0 to 1", options.unmodified_share);
  }
  if (!options.split_tokens.empty() && options.variant != Variant::kAxolotl) {
    Fail(ErrorKind::kBadOption, "PoSE: split tokens belong to the axolotl variant");
  }
  if (options.skip_text && (options.variant == Variant::kRandPos || !options.split_tokens.empty())) {
    Fail(ErrorKind::kBadOption,
         "PoSE: text can be skipped only between chunks whose bounds do not depend on it");
  }
}

std::vector<PoseChunk> DrawChunks(std::int64_t length, const PoseOptions& options, Random& random,
                                  std::span<const std::int32_t> tokens) {
  ValidatePose(options, length);
  if (length == 0) return {};
  const bool unmodified = random.Uniform() < options.unmodified_share;
  if (unmodified) return {{0, length, 0}};

  const std::int64_t chunks = std::min<std::int64_t>(options.chunks, length);
  std::vector<std::int64_t> boundaries;
  if (!options.split_tokens.empty())
    boundaries = SplitBoundaries(tokens, options);
  else if (EqualLengths(options))
    boundaries = EqualBoundaries(length, chunks);
  else
    boundaries = RandomBoundaries(length, chunks, random);

  std::vector<PoseChunk> result{{0, length, 0}};
  std::int64_t room = options.target_context - length;
  for (const std::int64_t begin : boundaries) {
    PoseChunk& previous = result.back();
    previous.length = begin - previous.begin;
    // The paper: each shift is uniform between the one before and the largest that fits.
    const std::int64_t skip = random.Below(room + 1);
    room -= skip;
    result.push_back({begin, length - begin, previous.shift + skip});
  }
  return result;
}

std::vector<std::int64_t> DrawTextSkips(std::size_t chunks, std::int64_t spare, Random& random) {
  std::vector<std::int64_t> skips(chunks, 0);
  for (std::size_t i = 1; i < chunks; ++i) skips[i] = skips[i - 1] + random.Below(spare - skips[i - 1] + 1);
  return skips;
}

std::vector<std::int32_t> ChunkPositions(std::span<const PoseChunk> chunks) {
  std::vector<std::int32_t> positions;
  for (const PoseChunk& chunk : chunks) {
    for (std::int64_t i = 0; i < chunk.length; ++i) {
      positions.push_back(static_cast<std::int32_t>(chunk.begin + i + chunk.shift));
    }
  }
  return positions;
}

std::vector<std::int32_t> PosePositions(std::int64_t length, const PoseOptions& options, Random& random,
                                        std::span<const std::int32_t> tokens) {
  if (options.variant != Variant::kRandPos)
    return ChunkPositions(DrawChunks(length, options, random, tokens));
  ValidatePose(options, length);
  const bool unmodified = random.Uniform() < options.unmodified_share;
  return RandomPositions(length, unmodified ? length : options.target_context, random);
}

std::vector<std::int32_t> RandomPositions(std::int64_t length, std::int64_t target, Random& random) {
  // Selection sampling (Knuth, volume 2, 3.4.2, algorithm S): each position is taken with the chance that
  // leaves every set of the right size equally likely.
  std::vector<std::int32_t> positions;
  positions.reserve(length);
  std::int64_t wanted = length;
  for (std::int64_t p = 0; wanted > 0; ++p) {
    if (random.Below(target - p) < wanted) {
      positions.push_back(static_cast<std::int32_t>(p));
      --wanted;
    }
  }
  return positions;
}

}  // namespace longspan
