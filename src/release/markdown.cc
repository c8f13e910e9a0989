#include "release/markdown.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace longspan {

std::string EscapeMarkdown(std::string_view text) {
  constexpr std::string_view kMarkup = "\\`*_[]|#~$";
  std::string escaped;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      escaped += ' ';
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else if (c == '&') {
      escaped += "&amp;";
    } else {
      if (kMarkup.find(c) != std::string_view::npos) escaped += '\\';
      escaped += c;
    }
  }
  return escaped;
}

std::string InlineCode(std::string_view text) {
  std::string code;
  for (const char c : text) {
    if (c == '|') code += '\\';  // the table's parser comes before the code's
    code += c == '`' ? '\'' : static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return "`" + code + "`";
}

std::string CodeBlock(std::string_view text, std::string_view language) {
  std::size_t longest = 2, run = 0;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  const std::string fence(longest + 1, '`');
  return fmt::format("{}{}\n{}{}{}\n", fence, language, text, text.ends_with('\n') ? "" : "\n", fence);
}

MarkdownTable::MarkdownTable(std::vector<std::string> header, std::size_t left) {
  Add(header);
  for (std::size_t i = 0; i < header.size(); ++i) text_ += i < left ? "|---" : "|--:";
  text_ += "|\n";
}

void MarkdownTable::Add(const std::vector<std::string>& cells) {
  for (const std::string& cell : cells) text_ += fmt::format("| {} ", cell);
  text_ += "|\n";
}

}  // namespace longspan
