// Training examples: rows of a Batch, cut from a shard's documents.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "data/encoder.h"
#include "data/pose.h"
#include "data/retrieval.h"
#include "data/shard.h"
#include "model/batch.h"

namespace longspan {

struct ExampleOptions {
  std::int64_t length = 0;  // tokens in a row, including BOS
  bool add_bos = true;      // in front of each piece of a document, where the vocabulary has one
  // Several documents in a row, one after the other, told apart by their ids. Without it a row is a window of
  // one document, and what is left of the row after a short document is padding.
  bool pack = false;
  bool shuffle = true;  // a new order and new windows every epoch, rather than the shard's order every time
  std::optional<PoseOptions> pose;
  double retrieval_share = 0;  // of the rows; these teach retrieval (retrieval.h) in place of plain text
  double echo_share = 0;       // of the retrieval rows; these are plain echoes (Retrieval::Echo)
  std::uint64_t seed = 0;
};

// Rows in an epoch of documents with these lengths; `bos`: whether each piece of a document gets one.
std::int64_t ExamplesPerEpoch(std::span<const std::int64_t> lengths, const ExampleOptions& options, bool bos);

// Every row is a pure function of the shard, the options and the row's index: nothing is remembered from one
// call to the next, so training that is resumed at a row sees what it would have seen. Safe for use by
// several threads.
class Examples {
 public:
  // `encoder` is needed for retrieval examples only. Error(kBadOption) for options that cannot be followed.
  Examples(Shard shard, ExampleOptions options, std::optional<TextEncoder> encoder = std::nullopt);

  std::int64_t size() const { return size_; }  // rows in an epoch
  const ExampleOptions& options() const { return options_; }

  // Rows [first, first + count). Indices run on through the epochs: row size() is the first of the second.
  // The target of a token is what follows it in its document, even where the row goes on with something else.
  Batch Make(std::int64_t first, std::int64_t count) const;

 private:
  struct Piece {
    std::int64_t document, first, count;  // tokens of the document, without BOS
  };
  struct Epoch {
    std::int64_t number;
    std::vector<Piece> pieces;
    std::vector<std::int64_t> row_begin;  // in pieces; one more for the end
    std::vector<std::int64_t> order;      // which row comes when
  };
  class Row;

  Epoch PlanWindows(std::int64_t number) const;
  Epoch PlanPacked(std::int64_t number) const;
  std::shared_ptr<const Epoch> Plan(std::int64_t number) const;
  bool IsRetrieval(std::int64_t row_in_epoch) const;
  void AddPiece(const Piece& piece, Random& random, Row& row) const;
  void AddRetrieval(const Piece& piece, Random& draws, Random& positions, Row& row) const;
  std::vector<std::int32_t> Positions(std::span<const std::int32_t> tokens, Random& random) const;

  Shard shard_;
  ExampleOptions options_;
  std::int32_t bos_;  // -1: none is added
  std::int32_t pad_;
  std::optional<Retrieval> retrieval_;
  std::int64_t size_ = 0;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Epoch> epoch_;  // the last one asked for; only a cache
};

}  // namespace longspan
