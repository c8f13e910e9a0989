#include "data/prepare/part_maker.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "data/prepare/part.h"

namespace longspan {
namespace {

// Raise it when the same settings make other parts.
constexpr int kPartVersion = 1;

constexpr std::size_t kBatchDocuments = 1024;
constexpr std::size_t kBatchBytes = std::size_t{1} << 20;  // of text, give or take one document

constexpr std::size_t kMostBytesInWork = std::size_t{128} << 20;  // give or take a batch a thread

struct Encoded {
  std::vector<std::int32_t> tokens;  // where they fit the limits
  std::int64_t length = 0;
  TextHash hash;
  BandKeys bands{};
  std::string problem;  // why there are no tokens
};

struct OpenUnit;

struct Batch {
  OpenUnit* unit;
  std::int64_t index;
  std::vector<Document> documents;
  std::vector<Encoded> encoded;
  std::size_t bytes = 0;  // of text, as it was read
};
using BatchPtr = std::unique_ptr<Batch>;

// A unit under way. What is not said to be otherwise belongs to who holds PartMaker's mutex.
struct OpenUnit {
  OpenUnit(const PrepareUnit& unit, const PartOptions& options, const std::filesystem::path& folder,
           std::int64_t vocab_size)
      : bytes(unit.bytes()),
        corpus(unit.pieces, options.corpus),
        writer(folder, unit.name, vocab_size, options.bands) {}

  const std::uint64_t bytes;
  std::mutex corpus_mutex;  // for `corpus`
  Corpus corpus;
  // Of the thread that set `writing`.
  PartWriter writer;
  FatesBySubset fates;
  CorpusSkips skips;  // of what was read and could not be tokenised

  bool reading = false, read_all = false, writing = false;
  std::uint64_t read_bytes = 0;
  std::int64_t read_batches = 0, written_batches = 0;
  std::map<std::int64_t, BatchPtr> encoded;  // that wait for those before them
};

class PartMaker {
 public:
  PartMaker(const std::vector<PrepareUnit>& units, const PartOptions& options, const TextEncoder& encoder,
            const std::filesystem::path& folder, std::uint64_t done, Progress& progress)
      : units_(units),
        options_(options),
        encoder_(encoder),
        folder_(folder),
        progress_(progress),
        most_batches_(2 * Threads() + 2),
        finished_bytes_(done) {}

  void Run() {
    ParallelFor(Threads(), [this](std::int64_t) {
      try {
        Work();
      } catch (...) {
        const std::lock_guard lock(mutex_);
        failed_ = true;
        changed_.notify_all();
        throw;
      }
    });
  }

 private:
  using Lock = std::unique_lock<std::mutex>;

  void Work();
  OpenUnit* FindReadable();
  bool BeginUnit();
  void Read(OpenUnit& unit, Lock& lock);
  void Encode(Batch& batch) const;
  Encoded Encode(const std::string& text) const;
  void Deliver(BatchPtr batch, Lock& lock);
  void Write(Batch& batch) const;
  void FinishIfDone(OpenUnit& unit, Lock& lock);
  void ShowProgress();

  const std::vector<PrepareUnit>& units_;
  const PartOptions& options_;
  const TextEncoder& encoder_;
  const std::filesystem::path& folder_;
  Progress& progress_;
  const std::int64_t most_batches_;  // of a unit that are read and not written

  std::mutex mutex_;
  std::condition_variable changed_;
  bool failed_ = false;
  std::size_t next_unit_ = 0;
  std::list<OpenUnit> open_;
  std::deque<BatchPtr> read_;      // not tokenised yet
  std::size_t bytes_in_work_ = 0;  // of text that is read and not written
  std::uint64_t finished_bytes_;
  std::int64_t documents_ = 0;
};

void PartMaker::Work() {
  Lock lock(mutex_);
  while (!failed_) {
    if (!read_.empty()) {
      BatchPtr batch = std::move(read_.front());
      read_.pop_front();
      lock.unlock();
      Encode(*batch);
      lock.lock();
      Deliver(std::move(batch), lock);
    } else if (OpenUnit* unit = FindReadable()) {
      Read(*unit, lock);
    } else if (!BeginUnit()) {
      if (open_.empty()) return;
      changed_.wait(lock);
    }
  }
}

OpenUnit* PartMaker::FindReadable() {
  if (bytes_in_work_ >= kMostBytesInWork + Threads() * kBatchBytes * 4) return nullptr;
  for (OpenUnit& unit : open_) {
    const bool full = unit.read_batches - unit.written_batches >= most_batches_;
    if (!unit.reading && !unit.read_all && !full) return &unit;
  }
  return nullptr;
}

bool PartMaker::BeginUnit() {
  if (next_unit_ == units_.size() || std::ssize(open_) >= Threads()) return false;
  open_.emplace_back(units_[next_unit_++], options_, folder_, encoder_.vocab_size);
  return true;
}

void PartMaker::Read(OpenUnit& unit, Lock& lock) {
  unit.reading = true;
  lock.unlock();
  auto batch = std::make_unique<Batch>();
  std::uint64_t read_bytes = 0;
  {
    const std::lock_guard corpus_lock(unit.corpus_mutex);
    while (batch->documents.size() < kBatchDocuments && batch->bytes < kBatchBytes) {
      std::optional<Document> document = unit.corpus.Next();
      if (!document) break;
      batch->bytes += document->text.size();
      batch->documents.push_back(std::move(*document));
    }
    read_bytes = unit.corpus.read_bytes();
  }
  lock.lock();
  unit.reading = false;
  unit.read_bytes = read_bytes;
  if (batch->documents.empty()) {
    unit.read_all = true;
    FinishIfDone(unit, lock);
  } else {
    batch->unit = &unit;
    batch->index = unit.read_batches++;
    bytes_in_work_ += batch->bytes;
    read_.push_back(std::move(batch));
  }
  changed_.notify_all();
}

void PartMaker::Encode(Batch& batch) const {
  batch.encoded.reserve(batch.documents.size());
  for (Document& document : batch.documents) {
    batch.encoded.push_back(Encode(document.text));
    std::string().swap(document.text);
  }
}

Encoded PartMaker::Encode(const std::string& text) const {
  Encoded encoded;
  try {
    encoded.tokens = encoder_.encode(text);
    encoded.length = std::ssize(encoded.tokens);
    if (Judge(encoded.length, options_.limits) != LengthVerdict::kFits) {
      encoded.tokens = {};
      return encoded;
    }
    encoded.hash = HashText(text);
    if (options_.bands) encoded.bands = BandKeysOf(text);
  } catch (const std::bad_alloc&) {
    encoded.problem = fmt::format("no memory to tokenise its {} bytes", text.size());
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
    encoded.problem = fmt::format("cannot be tokenised: {}", error.what());
  }
  return encoded;
}

void PartMaker::Deliver(BatchPtr batch, Lock& lock) {
  OpenUnit& unit = *batch->unit;
  unit.encoded.emplace(batch->index, std::move(batch));
  if (unit.writing) return;
  unit.writing = true;
  while (!unit.encoded.empty() && unit.encoded.begin()->first == unit.written_batches && !failed_) {
    const BatchPtr next = std::move(unit.encoded.begin()->second);
    unit.encoded.erase(unit.encoded.begin());
    lock.unlock();
    Write(*next);
    lock.lock();
    ++unit.written_batches;
    bytes_in_work_ -= next->bytes;
    documents_ += std::ssize(next->documents);
    ShowProgress();
    changed_.notify_all();
  }
  unit.writing = false;
  FinishIfDone(unit, lock);
}

void PartMaker::Write(Batch& batch) const {
  OpenUnit& unit = *batch.unit;
  for (std::size_t i = 0; i < batch.documents.size(); ++i) {
    const Document& document = batch.documents[i];
    const Encoded& encoded = batch.encoded[i];
    if (!encoded.problem.empty()) {
      if (options_.corpus.strict) {
        const std::lock_guard corpus_lock(unit.corpus_mutex);
        unit.corpus.SkipDocument(document, encoded.problem);  // throws
      }
      unit.skips.documents.Add(NoteOf(document, encoded.problem));
      continue;
    }
    const std::int64_t subset = unit.fates.Index(document.subset);
    DocumentFates& fates = unit.fates[subset];
    fates.found.Add(encoded.length);
    switch (Judge(encoded.length, options_.limits)) {
      case LengthVerdict::kTooShort: fates.too_short.Add(encoded.length); break;
      case LengthVerdict::kTooLong: fates.too_long.Add(encoded.length); break;
      case LengthVerdict::kFits:
        unit.writer.Add(
            {encoded.hash, static_cast<std::uint32_t>(encoded.length), static_cast<std::uint32_t>(subset)},
            encoded.tokens, encoded.bands);
    }
  }
}

void PartMaker::FinishIfDone(OpenUnit& unit, Lock& lock) {
  if (!unit.read_all || unit.writing || unit.written_batches < unit.read_batches || failed_) return;
  unit.writing = true;  // nobody else finishes it
  lock.unlock();
  PartSummary summary;
  summary.subsets = unit.fates.Take();
  summary.skips = unit.corpus.skips();
  summary.skips.Add(unit.skips);
  summary.lines = unit.corpus.piece_lines();
  unit.writer.Commit(std::move(summary));
  lock.lock();
  finished_bytes_ += unit.bytes;
  open_.remove_if([&](const OpenUnit& other) { return &other == &unit; });
  ShowProgress();
  changed_.notify_all();
}

void PartMaker::ShowProgress() {
  std::uint64_t bytes = finished_bytes_;
  for (const OpenUnit& unit : open_) bytes += unit.read_bytes;
  progress_.Update(static_cast<std::int64_t>(bytes), fmt::format("{} documents", documents_));
}

}  // namespace

std::string PartSettings(const PartOptions& options, const TextEncoder& encoder) {
  const CorpusOptions& corpus = options.corpus;
  const LengthLimits& limits = options.limits;
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {}", kPartVersion, encoder.vocab_size, encoder.bos,
                     encoder.eos, encoder.fingerprint, corpus.strict, corpus.max_document_bytes,
                     corpus.max_record_bytes, corpus.max_window_log, limits.min_tokens,
                     limits.slice ? 0 : limits.max_tokens, options.bands, corpus.text_field);
}

void MakeParts(const std::vector<PrepareUnit>& units, const PartOptions& options, const TextEncoder& encoder,
               const std::filesystem::path& folder, std::uint64_t done, Progress& progress) {
  PartMaker(units, options, encoder, folder, done, progress).Run();
}

}  // namespace longspan
