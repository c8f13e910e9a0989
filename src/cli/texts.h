// Texts that a command reads with a model's tokenizer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/corpus.h"
#include "eval/window.h"
#include "infer/loaded_model.h"

namespace longspan {

inline constexpr const char* kTextFiles =
    "text files, JSON or JSON lines, zstd or gzip on top, folders of them, or a shard (.lsd)";

// The tokens of the documents in `files`, without BOS; at most `max_documents`, 0 for all. What is skipped is
// reported on the terminal. Error(kBadOption) for a shard that another tokenizer made, Error(kInvalidFile)
// where nothing could be used.
std::vector<TokenDocument> ReadDocuments(const std::vector<std::string>& files, std::int64_t max_documents,
                                         const LoadedModel& model, const CorpusOptions& corpus = {});

}  // namespace longspan
