// Texts that a command reads with a model's tokenizer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/window.h"
#include "infer/loaded_model.h"

namespace longspan {

inline constexpr const char* kTextFiles = ".txt (one document), .jsonl[.zst], a folder, or a shard (.lsd)";

// The tokens of the documents in `files`, without BOS; at most `max_documents`, 0 for all. Error(kBadOption)
// for a shard that was made for another vocabulary.
std::vector<TokenDocument> ReadDocuments(const std::vector<std::string>& files, std::int64_t max_documents,
                                         const LoadedModel& model);

}  // namespace longspan
