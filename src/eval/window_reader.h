// Reads windows of documents with a model and hands out logits a few rows at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "eval/window.h"
#include "infer/sequence.h"
#include "tensor/rows.h"

namespace longspan {

// Whole logits never exist: at a vocabulary of 128k, those of a 64k window would be 34 GB. The caller asks
// for the next rows, so that two models can be read side by side.
class WindowReader {
 public:
  static constexpr std::int64_t kChunk = 512;
  static constexpr std::int64_t kRows = 64;  // rows of logits that exist at a time

  // Called after every chunk with the number of tokens read, because one window can take an hour.
  using Listener = std::function<void(std::int64_t tokens)>;

  // `chunk`: tokens that the model reads at a time. With one, it computes as in writing.
  WindowReader(Sequence& sequence, std::optional<std::int32_t> bos, Listener listener = {},
               std::int64_t chunk = kChunk);

  // How many tokens the model reads for `windows` in all.
  static std::int64_t TokensToRead(std::span<const Window> windows, bool bos);

  // Begins a window; `document` must stay alive while it is read.
  void Open(std::span<const std::int32_t> document, const Window& window);

  // Moves to the next rows; false after the last. Error(kCancelled).
  bool Next();
  ConstRows logits() const { return logits_; }                        // [at most kRows, vocab_size]
  std::span<const std::int32_t> targets() const { return targets_; }  // the token that each row is to predict

  std::int64_t tokens_read() const { return tokens_read_; }  // in all windows so far, BOS included

 private:
  Sequence& sequence_;
  std::optional<std::int32_t> bos_;
  Listener listener_;
  std::int64_t chunk_;
  std::vector<std::int32_t> inputs_;              // of this window
  std::span<const std::int32_t> predicted_;       // token that follows each input
  std::int64_t chunk_begin_ = 0, chunk_end_ = 0;  // inputs whose hidden states exist
  std::int64_t next_row_ = 0;                     // first input whose row is still to be handed out
  Matrix hidden_;
  Matrix logits_;
  std::span<const std::int32_t> targets_;
  std::int64_t tokens_read_ = 0;
};

}  // namespace longspan
