#include "data/examples.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"

namespace longspan {
namespace {

using Tokens = std::vector<std::int32_t>;

// A packed row is filled with the front of the next document if at least so many tokens fit. Otherwise the
// rest is padding.
constexpr std::int64_t kLeastPiece = 8;

template <class T>
void Shuffle(std::vector<T>& items, Random& random) {
  for (std::size_t i = items.size(); i > 1; --i) {
    std::swap(items[i - 1], items[random.Below(static_cast<std::int64_t>(i))]);
  }
}

std::vector<std::int64_t> Count(std::int64_t n) {
  std::vector<std::int64_t> items(static_cast<std::size_t>(n));
  std::iota(items.begin(), items.end(), 0);
  return items;
}

}  // namespace

std::int64_t ExamplesPerEpoch(std::span<const std::int64_t> lengths, const ExampleOptions& options,
                              bool bos) {
  std::int64_t windows = 0, tokens = 0;
  for (const std::int64_t length : lengths) {
    if (length == 0) continue;  // it is in no row, and neither is its BOS
    windows += length / std::min(length, options.length - bos);
    tokens += length + bos;
  }
  if (!options.pack) return windows;
  // How many packed rows come out varies a little with the order. This many always do: cutting a document
  // only ever adds tokens, the BOS of its next piece.
  return tokens == 0 ? 0 : std::max<std::int64_t>(1, tokens / options.length);
}

// A row being filled.
class Examples::Row {
 public:
  Row(Batch& batch, std::int64_t row) : batch_(batch), at_(row * batch.length), end_(at_ + batch.length) {}

  std::int64_t room() const { return end_ - at_; }

  void Add(std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets,
           std::span<const std::int32_t> positions) {
    if (std::ssize(tokens) > room()) {
      Fail(ErrorKind::kInternal, "{} tokens for a row with room for {}", tokens.size(), room());
    }
    for (std::size_t i = 0; i < tokens.size(); ++i, ++at_) {
      const auto at = static_cast<std::size_t>(at_);
      batch_.tokens[at] = tokens[i];
      batch_.targets[at] = targets[i];
      batch_.positions[at] = positions[i];
      batch_.documents[at] = document_;
    }
    ++document_;
  }

  // The padding is a document of its own that nothing is learnt from.
  void Pad(std::int32_t token) {
    const auto n = static_cast<std::size_t>(room());
    Tokens positions(n);
    std::iota(positions.begin(), positions.end(), 0);
    Add(Tokens(n, token), Tokens(n, Batch::kIgnore), positions);
    batch_.padding += std::ssize(positions);
  }

 private:
  Batch& batch_;
  std::int64_t at_, end_;
  std::int32_t document_ = 0;
};

Examples::Examples(Shard shard, ExampleOptions options, std::optional<TextEncoder> encoder)
    : shard_(std::move(shard)), options_(std::move(options)) {
  const ShardVocabulary& vocabulary = shard_.vocabulary();
  bos_ = options_.add_bos ? vocabulary.bos : -1;
  pad_ = vocabulary.eos >= 0 ? vocabulary.eos : std::max(vocabulary.bos, 0);
  if (options_.length < 2 || options_.length > INT32_MAX) {
    Fail(ErrorKind::kBadOption, "examples of {} tokens, expected at least 2", options_.length);
  }
  if (options_.pose) {
    ValidatePose(*options_.pose, options_.length);
    if (options_.pose->skip_text && options_.pack) {
      Fail(ErrorKind::kBadOption, "PoSE: skipped text and packed documents do not go together");
    }
  }
  if (!(options_.retrieval_share >= 0 && options_.retrieval_share <= 1)) {
    Fail(ErrorKind::kBadOption, "a retrieval share of {}, expected 0 to 1", options_.retrieval_share);
  }
  if (options_.retrieval_share > 0) {
    if (!encoder) Fail(ErrorKind::kBadOption, "retrieval examples need a tokenizer");
    CheckVocabulary(shard_, *encoder);
    if (!options_.add_bos) encoder->bos = -1;
    retrieval_.emplace(*encoder);
    if (options_.length < retrieval_->MinLength()) {
      Fail(ErrorKind::kBadOption, "retrieval examples of {} tokens, expected at least {}", options_.length,
           retrieval_->MinLength());
    }
  }
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; i < shard_.documents(); ++i) lengths.push_back(shard_.Length(i));
  size_ = ExamplesPerEpoch(lengths, options_, bos_ >= 0);
  if (size_ == 0) Fail(ErrorKind::kBadOption, "{}: no tokens to make examples of", shard_.path().string());
}

Examples::Epoch Examples::PlanWindows(std::int64_t number) const {
  Random random(options_.seed, static_cast<std::uint64_t>(number), RandomPurpose::kShuffle);
  const std::int64_t window = options_.length - (bos_ >= 0);
  Epoch epoch{number, {}, {}, {}};
  for (std::int64_t document = 0; document < shard_.documents(); ++document) {
    const std::int64_t length = shard_.Length(document);
    if (length == 0) continue;
    const std::int64_t count = std::min(length, window), windows = length / count;
    // Windows begin at another offset every epoch, so that the text is not always cut in the same places.
    const std::int64_t offset = options_.shuffle ? random.Below(length - windows * count + 1) : 0;
    for (std::int64_t i = 0; i < windows; ++i) epoch.pieces.push_back({document, offset + i * count, count});
  }
  const auto rows = static_cast<std::int64_t>(epoch.pieces.size());
  epoch.row_begin = Count(rows + 1);
  epoch.order = Count(rows);
  if (options_.shuffle) Shuffle(epoch.order, random);
  return epoch;
}

Examples::Epoch Examples::PlanPacked(std::int64_t number) const {
  Random random(options_.seed, static_cast<std::uint64_t>(number), RandomPurpose::kShuffle);
  std::vector<std::int64_t> documents = Count(shard_.documents());
  if (options_.shuffle) Shuffle(documents, random);
  const std::int64_t bos = bos_ >= 0;
  Epoch epoch{number, {}, {0}, Count(size_)};
  std::int64_t room = options_.length;
  const auto EndRow = [&] {
    epoch.row_begin.push_back(static_cast<std::int64_t>(epoch.pieces.size()));
    room = options_.length;
  };
  for (const std::int64_t document : documents) {
    const std::int64_t length = shard_.Length(document);
    for (std::int64_t first = 0; first < length;) {
      const std::int64_t rest = length - first, count = std::min(rest, room - bos);
      if (count < rest && room < std::min(kLeastPiece, options_.length)) {
        EndRow();
        continue;
      }
      epoch.pieces.push_back({document, first, count});
      first += count;
      room -= count + bos;
      if (room <= bos) EndRow();
    }
  }
  if (room < options_.length) EndRow();
  return epoch;
}

std::shared_ptr<const Examples::Epoch> Examples::Plan(std::int64_t number) const {
  if (!options_.shuffle) number = 0;
  const std::lock_guard lock(mutex_);
  if (!epoch_ || epoch_->number != number) {
    epoch_ = std::make_shared<const Epoch>(options_.pack ? PlanPacked(number) : PlanWindows(number));
  }
  return epoch_;
}

// Retrieval rows are evenly spaced, so that every batch has its share.
bool Examples::IsRetrieval(std::int64_t row_in_epoch) const {
  const auto Before = [this](std::int64_t n) {
    return std::floor(static_cast<double>(n) * options_.retrieval_share);
  };
  return Before(row_in_epoch + 1) > Before(row_in_epoch);
}

Batch Examples::Make(std::int64_t first, std::int64_t count) const {
  Batch batch(count, options_.length);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t index = first + i, in_epoch = index % size_;
    const std::shared_ptr<const Epoch> epoch = Plan(index / size_);
    const auto row_number = static_cast<std::size_t>(epoch->order[in_epoch]);
    const std::int64_t begin = epoch->row_begin[row_number], end = epoch->row_begin[row_number + 1];
    Random positions(options_.seed, static_cast<std::uint64_t>(index), RandomPurpose::kPose);
    Row row(batch, i);
    if (IsRetrieval(in_epoch)) {
      Random draws(options_.seed, static_cast<std::uint64_t>(index), RandomPurpose::kPasskey);
      AddRetrieval(epoch->pieces[begin], draws, positions, row);
    } else {
      for (std::int64_t p = begin; p < end; ++p) {
        AddPiece(epoch->pieces[p], positions, row);
      }
    }
    row.Pad(pad_);
  }
  return batch;
}

std::vector<std::int32_t> Examples::Positions(std::span<const std::int32_t> tokens, Random& random) const {
  if (options_.pose) return PosePositions(std::ssize(tokens), *options_.pose, random, tokens);
  std::vector<std::int32_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

void Examples::AddPiece(const Piece& piece, Random& random, Row& row) const {
  const std::int64_t bos = bos_ >= 0, length = piece.count + bos;
  const std::int64_t document_length = shard_.Length(piece.document);
  Tokens tokens, targets;
  if (bos) tokens.push_back(bos_);
  // Appends the document's tokens [from, from + count). The target of each is its true successor in the
  // document.
  const auto AddText = [&](std::int64_t from, std::int64_t count) {
    const bool more = from + count < document_length;
    Tokens text(static_cast<std::size_t>(count + more));
    shard_.Read(piece.document, from, text);
    tokens.insert(tokens.end(), text.begin(), text.begin() + count);
    // The first token is the target of a BOS before it. After skipped text, it is no token's target.
    const std::size_t skip = targets.empty() && bos ? 0 : 1;
    const auto successors = std::span(text).subspan(std::min(skip, text.size()));
    targets.insert(targets.end(), successors.begin(), successors.end());
    if (!more) targets.push_back(Batch::kIgnore);
  };
  if (options_.pose && options_.pose->skip_text) {
    const std::vector<PoseChunk> chunks = DrawChunks(length, *options_.pose, random);
    const std::int64_t spare = document_length - piece.first - piece.count;
    const std::vector<std::int64_t> skips = DrawTextSkips(chunks.size(), spare, random);
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const std::int64_t front = i == 0 ? bos : 0;  // the BOS is not part of the text
      AddText(piece.first + chunks[i].begin + front - bos + skips[i], chunks[i].length - front);
    }
    row.Add(tokens, targets, ChunkPositions(chunks));
  } else {
    AddText(piece.first, piece.count);
    row.Add(tokens, targets, Positions(tokens, random));
  }
}

void Examples::AddRetrieval(const Piece& piece, Random& draws, Random& positions, Row& row) const {
  const auto Add = [&](const ScoredText& text) {
    Tokens targets(text.tokens.size(), Batch::kIgnore);
    for (std::size_t i = 0; i + 1 < targets.size(); ++i) {
      if (text.scored[i + 1]) targets[i] = text.tokens[i + 1];
    }
    row.Add(text.tokens, targets, Positions(text.tokens, positions));
  };
  // Up to `n` tokens of the document in which the row begins; fewer where the document ends.
  const auto Text = [&](std::int64_t n) {
    Tokens text(static_cast<std::size_t>(std::min(n, shard_.Length(piece.document) - piece.first)));
    shard_.Read(piece.document, piece.first, text);
    return text;
  };
  if (options_.echo_share > 0 && draws.Uniform() < options_.echo_share) {
    while (row.room() >= retrieval_->LeastEcho()) {
      Add(retrieval_->Echo(retrieval_->DrawEchoLength(row.room(), draws), Text, draws));
    }
    return;
  }
  if (draws.Below(2) == 0) {
    Add(retrieval_->HiddenSentences(row.room(), Text, draws));
    return;
  }
  // The row gets one long prompt or several shorter ones, so that every length occurs and there are more
  // answers to learn from.
  const std::int64_t least = retrieval_->MinLength();
  while (row.room() >= least) {
    const bool whole = draws.Below(2) == 0;
    const std::int64_t length = whole ? row.room() : least + draws.Below(row.room() - least + 1);
    Add(retrieval_->PasskeyText(length, draws));
  }
}

}  // namespace longspan
