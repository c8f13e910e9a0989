// PoSE, Positional Skip-wisE training (Zhu et al. 2023, arXiv 2309.10400): a short example takes positions
// from the whole target window, so that a model learns distances longer than anything it attends over in
// training. It changes positions and nothing else: the mask depends on the order alone, so a jump does not
// affect it.
//
//   an example of 8 tokens, a target of 32, 2 chunks:
//   order      0 1 2 3 | 4  5  6  7
//   position   0 1 2 3 | 21 22 23 24     the second chunk is shifted by 17
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace longspan {

struct PoseOptions {
  enum class Variant {
    kPaper,    // chunks of random lengths
    kAxolotl,  // chunks of equal lengths, or one from each split token on, as users of Axolotl's keys expect
    kRandPos,  // the baseline: any increasing positions (Ruoss et al. 2023, arXiv 2305.16843)
  };
  enum class Lengths { kVariant, kEqual, kRandom };  // kVariant: as the variant has it

  Variant variant = Variant::kPaper;
  std::int64_t target_context = 0;
  int chunks = 2;
  Lengths lengths = Lengths::kVariant;
  double unmodified_share = 0;  // of examples that keep the positions 0, 1, 2, ...
  bool skip_text = false;       // in longer documents, a later chunk's text skips ahead too (the paper's v)
  std::vector<std::int32_t> split_tokens;  // kAxolotl: chunks begin at these, and `chunks` is not used
};

std::string_view Name(PoseOptions::Variant variant);  // "paper", "axolotl", "randpos"

// The chunks as a reader would say it: "2 chunks of random lengths", "chunks from each split token on".
std::string DescribeChunks(const PoseOptions& options);

// Error(kBadOption) where no example of `length` tokens can follow the options.
void ValidatePose(const PoseOptions& options, std::int64_t length);

// A run of tokens whose positions are consecutive.
struct PoseChunk {
  std::int64_t begin = 0;   // order of its first token
  std::int64_t length = 0;  // at least 1
  std::int64_t shift = 0;   // position = order + shift; 0 in the first chunk, non-decreasing
};

// The chunks of an example of `length` tokens: one where the example stays unmodified, fewer than asked where
// it has too few tokens. `tokens` are needed for split tokens only. Not for kRandPos.
std::vector<PoseChunk> DrawChunks(std::int64_t length, const PoseOptions& options, Random& random,
                                  std::span<const std::int32_t> tokens = {});

// How far each chunk's text lies ahead of where it would follow on: non-decreasing, first 0, at most `spare`.
std::vector<std::int64_t> DrawTextSkips(std::size_t chunks, std::int64_t spare, Random& random);

// Strictly increasing positions below options.target_context, drawn anew from each state of `random`.
std::vector<std::int32_t> PosePositions(std::int64_t length, const PoseOptions& options, Random& random,
                                        std::span<const std::int32_t> tokens = {});

// The positions that chunks stand for.
std::vector<std::int32_t> ChunkPositions(std::span<const PoseChunk> chunks);

// `length` distinct positions of [0, target), every set of them equally likely, in increasing order.
std::vector<std::int32_t> RandomPositions(std::int64_t length, std::int64_t target, Random& random);

}  // namespace longspan
