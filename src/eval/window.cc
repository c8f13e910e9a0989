#include "eval/window.h"

#include <algorithm>

namespace longspan {
namespace {

// Tokens of the document in a full window.
std::int64_t Held(std::int64_t context, bool bos) { return context - (bos ? 1 : 0); }

}  // namespace

std::vector<std::int64_t> Lengths(std::span<const TokenDocument> documents) {
  std::vector<std::int64_t> lengths;
  for (const TokenDocument& document : documents) lengths.push_back(std::ssize(document));
  return lengths;
}

std::vector<Window> SlidingWindows(std::int64_t tokens, std::int64_t context, std::int64_t stride, bool bos) {
  const std::int64_t held = Held(context, bos);
  std::vector<Window> windows;
  std::int64_t scored = bos ? 0 : 1;  // tokens dealt with; nothing predicts the very first
  for (std::int64_t end = std::min(held, tokens); scored < end; end = std::min(end + stride, tokens)) {
    windows.push_back({.begin = std::max<std::int64_t>(0, end - held), .first_scored = scored, .end = end});
    scored = end;
  }
  return windows;
}

std::vector<Window> SameTokenWindows(std::int64_t tokens, std::int64_t context, std::int64_t longest,
                                     std::int64_t stride, bool bos) {
  const std::int64_t held = Held(context, bos);
  std::vector<Window> windows;
  std::int64_t end = Held(longest, bos);
  if (end > tokens) return windows;
  std::int64_t first_scored = end - stride;
  while (first_scored < tokens) {
    windows.push_back({.begin = end - held, .first_scored = first_scored, .end = end});
    first_scored = end;
    end = std::min(end + stride, tokens);
  }
  return windows;
}

std::vector<Window> HalfWindows(std::int64_t tokens, std::int64_t context, bool bos) {
  const std::int64_t stream = tokens + (bos ? 1 : 0);
  // The stream's token i is the document's token i - shift.
  const std::int64_t shift = bos ? 1 : 0;
  std::vector<Window> windows;
  for (std::int64_t at = 0; at + context <= stream; at += context) {
    const std::int64_t end = at + context - shift;
    // The row at context / 2 is the first whose prediction counts, so the token after it is the first scored.
    const std::int64_t first_scored = at + context / 2 + 1 - shift;
    if (first_scored < end) windows.push_back({.begin = at, .first_scored = first_scored, .end = end});
  }
  return windows;
}

std::vector<Window> InTurn(std::span<const std::vector<Window>> of_documents, std::int64_t max_scored) {
  std::vector<Window> all;
  std::int64_t scored = 0;
  for (std::size_t turn = 0;; ++turn) {
    bool any = false;
    for (std::size_t document = 0; document < of_documents.size(); ++document) {
      if (turn >= of_documents[document].size()) continue;
      any = true;
      Window window = of_documents[document][turn];
      window.document = static_cast<std::int64_t>(document);
      if (max_scored > 0 && scored + window.scored() > max_scored) {
        // A shorter window keeps its first targets, which all contexts share.
        window.end = window.first_scored + max_scored - scored;
        if (window.scored() > 0) all.push_back(window);
        return all;
      }
      scored += window.scored();
      all.push_back(window);
    }
    if (!any) return all;
  }
}

}  // namespace longspan
