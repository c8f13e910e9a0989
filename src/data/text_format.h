// What a file of text holds, found by looking at its beginning.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace longspan {

enum class TextFormat {
  kText,        // one document
  kJsonLines,   // one JSON object a line
  kJsonValues,  // JSON objects in an array, or written over several lines
  kOther,       // no text that longspan reads; see NotText
};

inline constexpr std::size_t kFormatProbe = std::size_t{1} << 16;  // bytes that decide

// The format of a file that begins with `front`: kFormatProbe bytes, or all that it has. A file named .json,
// .jsonl or .ndjson is JSON; any other is JSON if it begins with an object that has the string `text_field`,
// or with an object longer than `front`. The text is decompressed already, but the name may still end in .zst
// or .gz.
TextFormat FindTextFormat(std::string_view front, const std::filesystem::path& path,
                          std::string_view text_field);

// Names the kind of a file that begins with `front` and is not UTF-8 text: "a Parquet file; export it as JSON
// lines". Empty for text.
std::string NotText(std::string_view front);

// Without the byte order mark that some programs put before UTF-8.
std::string_view WithoutByteOrderMark(std::string_view text);

}  // namespace longspan
