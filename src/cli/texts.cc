#include "cli/texts.h"

#include <optional>
#include <utility>

#include "base/error.h"
#include "data/corpus.h"
#include "data/shard.h"

namespace longspan {
namespace {

std::vector<TokenDocument> ReadShard(const std::string& path, std::size_t limit, const LoadedModel& model) {
  const Shard shard = Shard::Open(path);
  if (shard.vocabulary().size != model.config().vocab_size) {
    Fail(ErrorKind::kBadOption, "{}: made for a vocabulary of {}, but the model has {}", path,
         shard.vocabulary().size, model.config().vocab_size);
  }
  std::vector<TokenDocument> documents;
  for (std::int64_t i = 0; i < shard.documents() && documents.size() < limit; ++i) {
    TokenDocument document = shard.ReadDocument(i);
    if (!document.empty() && document.front() == shard.vocabulary().bos) document.erase(document.begin());
    documents.push_back(std::move(document));
  }
  return documents;
}

}  // namespace

std::vector<TokenDocument> ReadDocuments(const std::vector<std::string>& files, std::int64_t max_documents,
                                         const LoadedModel& model) {
  const std::size_t limit = max_documents > 0 ? static_cast<std::size_t>(max_documents) : SIZE_MAX;
  std::vector<TokenDocument> documents;
  for (const std::string& file : files) {
    if (file.ends_with(".lsd")) {
      for (TokenDocument& document : ReadShard(file, limit - documents.size(), model)) {
        documents.push_back(std::move(document));
      }
      continue;
    }
    Corpus corpus({file}, {});
    while (documents.size() < limit) {
      const std::optional<Document> document = corpus.Next();
      if (!document) break;
      documents.push_back(model.tokenizer().Encode(document->text));
    }
  }
  return documents;
}

}  // namespace longspan
