#include "cli/texts.h"

#include <utility>

#include "cli/terminal.h"
#include "data/encoder.h"
#include "data/tokenized_corpus.h"
#include "text/warnings.h"

namespace longspan {

std::vector<TokenDocument> ReadDocuments(const std::vector<std::string>& files, std::int64_t max_documents,
                                         const LoadedModel& model, const CorpusOptions& corpus) {
  TokenDocuments texts =
      ReadDocuments({files.begin(), files.end()}, {corpus, max_documents}, EncoderOf(model.tokenizer()));
  Report(texts.skips, Terminal());
  WarnOfBytesLeftOut(model.tokenizer(), Terminal());
  return std::move(texts.documents);
}

}  // namespace longspan
