#include "data/tokenized_corpus.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "data/shard.h"

namespace longspan {
namespace {

using Tokens = std::vector<std::int32_t>;

constexpr std::int64_t kBatchDocuments = 256;
constexpr std::size_t kBatchBytes = std::size_t{32} << 20;  // of text, give or take one document

struct Result {
  Tokens tokens;
  std::string problem;  // why there are none
};

Result Encode(const TextEncoder& encoder, const Document& document) {
  try {
    return {encoder.encode(document.text), {}};
  } catch (const std::bad_alloc&) {
    return {{}, fmt::format("no memory to tokenise its {} bytes", document.text.size())};
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
    return {{}, fmt::format("cannot be tokenised: {}", error.what())};
  }
}

void ReadShard(const std::filesystem::path& path, std::int64_t limit, const TextEncoder& encoder,
               std::vector<Tokens>& documents) {
  const Shard shard = Shard::Open(path);
  CheckFits(shard, encoder);
  for (std::int64_t i = 0; i < shard.documents() && std::ssize(documents) < limit; ++i) {
    Tokens document = shard.ReadDocument(i);
    if (!document.empty() && document.front() == shard.vocabulary().bos) document.erase(document.begin());
    documents.push_back(std::move(document));
  }
}

}  // namespace

bool TokenizedCorpus::Next(std::vector<Tokens>& batch, std::int64_t limit) {
  std::vector<Document> documents;
  const std::int64_t most = std::min(limit, kBatchDocuments);
  for (std::size_t bytes = 0; std::ssize(documents) < most && bytes < kBatchBytes;) {
    auto document = corpus_.Next();
    if (!document) break;
    bytes += document->text.size();
    documents.push_back(std::move(*document));
  }
  std::vector<Result> results(documents.size());
  ParallelFor(std::ssize(documents), [&](std::int64_t i) { results[i] = Encode(encoder_, documents[i]); });
  batch.clear();
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].problem.empty())
      batch.push_back(std::move(results[i].tokens));
    else
      corpus_.SkipDocument(documents[i], results[i].problem);
  }
  return !documents.empty();
}

TokenDocuments ReadDocuments(const std::vector<std::filesystem::path>& inputs,
                             const ReadDocumentsOptions& options, const TextEncoder& encoder) {
  const std::int64_t limit = options.max_documents > 0 ? options.max_documents : INT64_MAX;
  TokenDocuments result;
  auto& [documents, skips] = result;
  for (const std::filesystem::path& input : inputs) {
    if (input.extension() == ".lsd") {
      ReadShard(input, limit, encoder, documents);
      continue;
    }
    TokenizedCorpus corpus({input}, options.corpus, encoder);
    std::vector<Tokens> batch;
    while (std::ssize(documents) < limit && corpus.Next(batch, limit - std::ssize(documents))) {
      std::ranges::move(batch, std::back_inserter(documents));
    }
    skips.Add(corpus.corpus().skips());
  }
  if (documents.empty() && skips.lost() > 0) {
    Fail(ErrorKind::kInvalidFile, "no document is left: {} could not be used; first: {}", skips.Summary(),
         skips.first());
  }
  return result;
}

}  // namespace longspan
