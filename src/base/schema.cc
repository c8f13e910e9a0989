#include "base/schema.h"

#include <algorithm>
#include <cctype>

namespace longspan {
namespace {

constexpr std::size_t kColumns = 110;
constexpr std::size_t kCommentColumn = 36;

// Whether YAML readers read the text without quotes as exactly this text, as they do with words, names and
// paths.
bool IsPlain(std::string_view text) {
  const auto is_word = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '/' || c == '.'; };
  if (text.empty() || !is_word(static_cast<unsigned char>(text.front())) || text.back() == ' ') return false;
  const bool safe = std::ranges::all_of(
      text, [&](unsigned char c) { return is_word(c) || c == '-' || c == '+' || c == '*' || c == ' '; });
  const bool letters = std::ranges::any_of(text, [](unsigned char c) { return std::isalpha(c); });
  constexpr std::array<std::string_view, 9> kTaken{"null", "true", "false", "yes", "no",
                                                   "on",   "off",  "y",     "n"};
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  const bool number = std::isdigit(static_cast<unsigned char>(text.front())) || text.front() == '.';
  // "1e5" and ".inf" are numbers. Text that begins like them but has a slash is a path.
  return safe && letters && std::ranges::find(kTaken, lower) == kTaken.end() &&
         !(number && text.find('/') == std::string_view::npos);
}

std::string Scalar(const KeyValue& key, const std::string& value) {
  const bool is_text = key.type == KeyType::kText || key.type == KeyType::kPath;
  return is_text && !IsPlain(value) ? QuoteYaml(value) : value;
}

// `text` as comment lines above a key.
std::string CommentLines(std::string_view text, const std::string& indent) {
  std::string lines, line = indent + "#";
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    if (line.size() + 1 + word.size() > kColumns && line.size() > indent.size() + 1) {
      lines += line + "\n";
      line = indent + "#";
    }
    line += fmt::format(" {}", word);
    begin = end + 1;
  }
  return lines + line + "\n";
}

// The comment for a key, with control characters replaced so that it stays on one line.
std::string CommentFor(const YamlComments& comments, std::string_view name) {
  const auto found = comments.find(name);
  std::string text = found == comments.end() ? "" : found->second;
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

}  // namespace

std::string_view Name(KeyType type) {
  switch (type) {
    case KeyType::kText: return "text";
    case KeyType::kPath: return "path";
    case KeyType::kInteger: return "integer";
    case KeyType::kNumber: return "number";
    case KeyType::kBoolean: return "true or false";
    case KeyType::kChoice: return "choice";
  }
  return "?";
}

std::string QuoteYaml(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (const auto byte = static_cast<std::uint8_t>(c); byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\x{:02x}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string YamlText(const KeyValue& key) {
  if (!key.is_list) return key.values.empty() ? "" : Scalar(key, key.values.front());
  std::vector<std::string> values;
  for (const std::string& value : key.values) values.push_back(Scalar(key, value));
  return fmt::format("[{}]", fmt::join(values, ", "));
}

std::string TypeText(const KeyValue& key) {
  std::string text(Name(key.type));
  if (key.type == KeyType::kChoice) text = fmt::format("one of {}", fmt::join(key.choices, ", "));
  if (const auto& range = key.key.range; range && range->high >= kNoLimit) {
    text += fmt::format(", {:.15g} or more", range->low);
  } else if (range) {
    text += fmt::format(", {:.15g} to {:.15g}", range->low, range->high);
  }
  if (!key.key.unit.empty()) text += fmt::format(" {}", key.key.unit);
  return key.is_list ? "list of " + text : text;
}

std::string Fingerprint(std::span<const KeyValue> keys, unsigned stage) {
  std::string text;
  for (const KeyValue& key : keys) {
    if ((key.key.changes & stage) != 0) text += fmt::format("{} {}; ", key.name, YamlText(key));
  }
  return text;
}

std::string YamlDocument(std::span<const KeyValue> keys, const YamlComments& comments) {
  std::string text;
  std::vector<std::string> open;  // the sections that the last line stands in
  for (const KeyValue& key : keys) {
    std::vector<std::string> path;
    for (std::size_t begin = 0, dot = 0; dot != std::string::npos; begin = dot + 1) {
      dot = key.name.find('.', begin);
      path.push_back(key.name.substr(begin, dot - begin));
    }
    const std::string leaf = path.back();
    path.pop_back();
    const auto common = static_cast<std::size_t>(std::ranges::mismatch(open, path).in1 - open.begin());
    std::string section;
    for (std::size_t i = 0; i < path.size(); ++i) {
      section += (i == 0 ? "" : ".") + path[i];
      if (i < common) continue;
      if (i == 0 && !text.empty()) text += "\n";
      const std::string indent(2 * i, ' '), comment = CommentFor(comments, section);
      if (!comment.empty()) text += CommentLines(comment, indent);
      text += fmt::format("{}{}:\n", indent, path[i]);
    }
    open = path;
    const std::string indent(2 * path.size(), ' '), comment = CommentFor(comments, key.name);
    const std::string line = fmt::format("{}{}: {}", indent, leaf, YamlText(key));
    const std::size_t column = std::max(line.size() + 2, kCommentColumn);
    if (comment.empty()) {
      text += line + "\n";
    } else if (column + 2 + comment.size() <= kColumns) {
      text += fmt::format("{:<{}}# {}\n", line, column, comment);
    } else {
      text += CommentLines(comment, indent) + line + "\n";
    }
  }
  return text;
}

std::string KeyPlaces::Where(std::string_view key) const {
  if (file.empty()) return std::string(key);
  for (std::string_view name = key;; name = name.substr(0, name.rfind('.'))) {
    if (const auto found = lines.find(name); found != lines.end())
      return fmt::format("{}:{}: {}", file.string(), found->second, key);
    if (name.rfind('.') == std::string_view::npos) break;
  }
  return fmt::format("{}: {}", file.string(), key);
}

void KeyPlaces::FailAt(std::string_view key, std::string_view message) const {
  Fail(file.empty() ? ErrorKind::kBadOption : ErrorKind::kInvalidFile, "{}: {}", Where(key), message);
}

void KeyPlaces::FailAt(std::string_view key, const Error& cause) const {
  if (cause.kind() == ErrorKind::kCancelled) throw cause;
  Fail(cause.kind(), "{}: {}", Where(key), cause.what());
}

}  // namespace longspan
