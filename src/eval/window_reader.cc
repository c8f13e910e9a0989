#include "eval/window_reader.h"

#include <algorithm>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"

namespace longspan {
namespace {

std::span<const std::int32_t> Between(std::span<const std::int32_t> all, std::int64_t begin,
                                      std::int64_t end) {
  return all.subspan(begin, static_cast<std::size_t>(end - begin));
}

}  // namespace

WindowReader::WindowReader(Sequence& sequence, std::optional<std::int32_t> bos, Listener listener,
                           std::int64_t chunk)
    : sequence_(sequence), bos_(bos), listener_(std::move(listener)), chunk_(chunk) {}

std::int64_t WindowReader::TokensToRead(std::span<const Window> windows, bool bos) {
  std::int64_t tokens = 0;
  // The last token of a window is predicted but not read. A BOS is read in addition.
  for (const Window& window : windows) tokens += window.end - window.begin - (bos ? 0 : 1);
  return tokens;
}

void WindowReader::Open(std::span<const std::int32_t> document, const Window& window) {
  const std::int64_t first_target = window.begin + (bos_ ? 0 : 1);
  if (window.begin < 0 || window.first_scored < first_target || window.end <= window.first_scored ||
      window.end > std::ssize(document)) {
    Fail(ErrorKind::kInternal, "window {} to {}, scored from {}, does not fit a document of {} tokens",
         window.begin, window.end, window.first_scored, document.size());
  }
  inputs_.clear();
  if (bos_) inputs_.push_back(*bos_);
  // The last token is only predicted, never read.
  const auto read = Between(document, window.begin, window.end - 1);
  inputs_.insert(inputs_.end(), read.begin(), read.end());
  predicted_ = Between(document, first_target, window.end);
  sequence_.Truncate(0);
  chunk_begin_ = chunk_end_ = 0;
  next_row_ = window.first_scored - first_target;
  targets_ = {};
}

bool WindowReader::Next() {
  const std::int64_t inputs = std::ssize(inputs_);
  if (next_row_ >= inputs) return false;
  while (chunk_end_ <= next_row_) {
    ThrowIfCancelled();
    chunk_begin_ = chunk_end_;
    chunk_end_ = std::min(chunk_begin_ + chunk_, inputs);
    hidden_.Resize(chunk_end_ - chunk_begin_, sequence_.dim());
    sequence_.Forward(Between(inputs_, chunk_begin_, chunk_end_), hidden_);
    tokens_read_ += chunk_end_ - chunk_begin_;
    if (listener_) listener_(chunk_end_ - chunk_begin_);
  }
  const std::int64_t rows = std::min(kRows, chunk_end_ - next_row_);
  logits_.Resize(rows, sequence_.vocab_size());
  sequence_.Logits(ConstRows(hidden_).Slice(next_row_ - chunk_begin_, rows), logits_);
  targets_ = Between(predicted_, next_row_, next_row_ + rows);
  next_row_ += rows;
  return true;
}

}  // namespace longspan
