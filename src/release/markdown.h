// Text made safe for the places of a model card, and tables.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace longspan {

// `text` as one cell of a table or a run of prose: markup characters escaped, line breaks turned to spaces.
std::string EscapeMarkdown(std::string_view text);

// `text` as inline code in a table's cell.
std::string InlineCode(std::string_view text);

// `text` as a fenced block whose fence is longer than any run of backticks inside.
std::string CodeBlock(std::string_view text, std::string_view language = {});

// A table; columns after the first `left` are right-aligned, as numbers are. Cells must be escaped already.
class MarkdownTable {
 public:
  explicit MarkdownTable(std::vector<std::string> header, std::size_t left = 1);
  void Add(const std::vector<std::string>& cells);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace longspan
