// Which part of a corpus a document is from: arxiv, c4, common_crawl, ... of RedPajama, or what other corpora
// call theirs.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "data/text_field.h"

namespace longspan {

// The name, or "" where nothing says it. The first of these that is one decides:
//   red_pajama_subset                                      of the record, as Hugging Face's loader adds it
//   red_pajama_subset, redpajama_set_name, source          in its member meta: an object, or a string with
//                                                          Python's repr of one, as some mirrors have it
//   source                                                 of the record: "cc/2019-30/..." is common_crawl
//   a folder of the path that has the name of a part of RedPajama
// A name has at most 40 letters, digits, '_', '-' and '.'; a '/' ends it. Other values, such as addresses,
// say nothing. `record` is the JSON that `marks` point into.
std::string SubsetOf(std::string_view record, const SubsetMarks& marks, const std::filesystem::path& path);

// The same for a document that is no record.
std::string SubsetOf(const std::filesystem::path& path);

// The string under `key` in Python's repr of a dict, such as {'source': "c4", 'n': None}; "" where there is
// none.
std::string PythonDictString(std::string_view repr, std::string_view key);

}  // namespace longspan
