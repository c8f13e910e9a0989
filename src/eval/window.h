// Which tokens of a document are read together, and which of them are scored.
//
// A window of context C holds C tokens, of which the first is BOS where the model has one; every window
// begins at position 0 with an empty cache. Indices are into a document, which holds no BOS itself.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace longspan {

using TokenDocument = std::vector<std::int32_t>;

std::vector<std::int64_t> Lengths(std::span<const TokenDocument> documents);

struct Window {
  std::int64_t document = 0;
  std::int64_t begin = 0;         // first token read
  std::int64_t first_scored = 0;  // first token scored; begin is scored only after a BOS
  std::int64_t end = 0;           // one past the last token, which is scored

  std::int64_t scored() const { return end - first_scored; }
  bool operator==(const Window&) const = default;
};

// Sliding windows (Press et al. 2021, section 2): the first window scores everything it can, each later one
// only the `stride` tokens by which it moved. Every token is scored once, all but the first `context` with at
// least context - stride tokens before it.
std::vector<Window> SlidingWindows(std::int64_t tokens, std::int64_t context, std::int64_t stride, bool bos);

// Windows of `context` that end where windows of `longest` do, each scoring the same last `stride` tokens: so
// that perplexities at several contexts are over the same targets. Empty for a document that does not fill
// `longest`. Needs stride < context <= longest.
std::vector<Window> SameTokenWindows(std::int64_t tokens, std::int64_t context, std::int64_t longest,
                                     std::int64_t stride, bool bos);

// Disjoint windows whose second half is scored, as llama.cpp's perplexity tool does; a BOS precedes the first
// window's tokens and replaces the first token of every other window. The ragged end is not read.
std::vector<Window> HalfWindows(std::int64_t tokens, std::int64_t context, bool bos);

// The windows of all documents, the first of each, then the second of each and so on, cut where `max_scored`
// tokens (0: no limit) are reached: even a small limit then covers every document.
std::vector<Window> InTurn(std::span<const std::vector<Window>> of_documents, std::int64_t max_scored);

}  // namespace longspan
