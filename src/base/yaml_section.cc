#include "base/yaml_section.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <set>
#include <sstream>

#include "base/file.h"
#include "base/printable.h"

namespace longspan {
namespace {

constexpr std::uint64_t kMaxYaml = 1 << 20;
constexpr int kMaxDepth = 32;

// Levenshtein distance, to find what a misspelt key was meant to be.
std::size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (a[i] != b[j])});
      diagonal = above;
    }
  }
  return row.back();
}

bool AreNear(std::string_view found, std::string_view known) {
  if (found.size() > 2 * known.size() + 2) return false;  // a key may be as long as the file
  return Distance(found, known) <= std::max<std::size_t>(1, found.size() / 3);
}

// The key that a misspelt one was meant to be, or nothing.
std::string_view Nearest(std::string_view found, const std::vector<std::string>& known) {
  std::string_view nearest;
  std::size_t distance = 0;
  for (const std::string& key : known) {
    if (!AreNear(found, key)) continue;
    if (const std::size_t d = Distance(found, key); nearest.empty() || d < distance) {
      nearest = key;
      distance = d;
    }
  }
  return nearest;
}

std::string_view LastPart(std::string_view name) { return name.substr(name.rfind('.') + 1); }

int Line(const YAML::Node& node, int otherwise) {
  const YAML::Mark mark = node.Mark();
  return mark.is_null() ? otherwise : mark.line + 1;
}

std::string Kind(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map: return "a mapping";
    case YAML::NodeType::Sequence: return "a list";
    case YAML::NodeType::Scalar: return fmt::format("'{}'", Printable(node.Scalar()));
    default: return "nothing";
  }
}

// A number's text without underscores: users of YAML write 500_000 for 500000. Empty unless every underscore
// stands between two digits.
std::string WithoutUnderscores(const std::string& text) {
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits += text[i];
    } else if (i == 0 || i + 1 == text.size() || !std::isdigit(static_cast<unsigned char>(text[i - 1])) ||
               !std::isdigit(static_cast<unsigned char>(text[i + 1]))) {
      return {};
    }
  }
  return digits;
}

template <class T>
bool ParseNumber(const YAML::Node& node, T& out) {
  if (!node.IsScalar()) return false;
  const std::string digits = WithoutUnderscores(node.Scalar());
  const char* const end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, out);
  return error == std::errc() && stopped == end && !digits.empty();
}

// yaml-cpp's parser recurses; brackets nested beyond any recipe are refused before it sees them.
void CheckDepth(const std::filesystem::path& path, std::string_view text) {
  int depth = 0, line = 1;
  for (const char c : text) {
    if (c == '\n') ++line;
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') depth = std::max(depth - 1, 0);
    if (depth > kMaxDepth)
      Fail(ErrorKind::kInvalidFile, "{}:{}: nested deeper than {} levels", path.string(), line, kMaxDepth);
  }
  if (text.find('\0') != std::string_view::npos)
    Fail(ErrorKind::kInvalidFile, "{}: expected text, found a zero byte", path.string());
}

// The first of the lines up to `last` that is indented by a tab, which YAML's parser takes for something
// else; 0 where none is.
int LineIndentedByTab(std::string_view text, int last) {
  for (int line = 1; line <= last && !text.empty(); ++line) {
    const std::string_view row = text.substr(0, text.find('\n'));
    const std::string_view indent = row.substr(0, row.find_first_not_of(" \t\r"));
    const bool says_something = indent.size() < row.size() && row[indent.size()] != '#';
    if (says_something && indent.find('\t') != std::string_view::npos) return line;
    text.remove_prefix(std::min(row.size() + 1, text.size()));
  }
  return 0;
}

// Hears where documents begin, and nothing else.
class DocumentStarts : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { line = mark.line + 1; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}

  int line = 1;
};

// YAML::Load ignores what follows the first document, and YAML::LoadAll reads "{a: b}," as an endless series
// of documents.
void CheckOneDocument(const std::filesystem::path& path, const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  DocumentStarts starts;
  if (parser.HandleNextDocument(starts) && parser.HandleNextDocument(starts)) {
    Fail(ErrorKind::kInvalidFile, "{}:{}: expected the end of the file, found another YAML document",
         path.string(), starts.line);
  }
}

}  // namespace

std::string ReadYamlFile(const std::filesystem::path& path) { return ReadFile(path, kMaxYaml); }

YAML::Node ParseYaml(const std::filesystem::path& path, const std::string& text) {
  CheckDepth(path, text);
  try {
    CheckOneDocument(path, text);
    return YAML::Load(text);
  } catch (const YAML::Exception& error) {
    if (const int line = LineIndentedByTab(text, error.mark.line + 1); line > 0) {
      Fail(ErrorKind::kInvalidFile, "{}:{}: indented by a tab, which YAML does not allow; write spaces",
           path.string(), line);
    }
    Fail(ErrorKind::kInvalidFile, "{}:{}: not YAML: {}", path.string(), error.mark.line + 1,
         Printable(error.msg, 200));
  }
}

std::optional<int> FindLine(const YAML::Node& document, std::string_view name) {
  const std::string_view first = name.substr(0, name.find('.'));
  if (!document.IsMap()) return std::nullopt;
  for (const auto& entry : document) {
    if (!entry.first.IsScalar() || entry.first.Scalar() != first) continue;
    if (first == name) return Line(entry.first, 1);
    return FindLine(entry.second, name.substr(first.size() + 1));
  }
  return std::nullopt;
}

YamlSection::YamlSection(const std::filesystem::path& file, std::string name, const YAML::Node& node)
    : file_(file), name_(std::move(name)), node_(node), line_(Line(node, 1)) {
  if (!node_.IsDefined() || node_.IsNull()) node_ = YAML::Node(YAML::NodeType::Map);
  if (!node_.IsMap()) {
    Fail(ErrorKind::kInvalidFile, "{}:{}: {}: expected a mapping of keys, found {}", file_.string(), line_,
         name_.empty() ? "document" : name_, Kind(node_));
  }
  std::set<std::string> seen;
  for (const auto& entry : node_) {
    if (!entry.first.IsScalar()) {
      Fail(ErrorKind::kInvalidFile, "{}:{}: {}: expected a key, found {}", file_.string(),
           Line(entry.first, line_), name_.empty() ? "document" : name_, Kind(entry.first));
    }
    if (!seen.insert(entry.first.Scalar()).second) {
      Fail(ErrorKind::kInvalidFile, "{}:{}: {}: given twice", file_.string(), Line(entry.first, line_),
           FullName(entry.first.Scalar()));
    }
  }
}

std::string YamlSection::FullName(std::string_view key) const {
  const std::string printable = Printable(key);
  return name_.empty() ? printable : fmt::format("{}.{}", name_, printable);
}

std::optional<YAML::Node> YamlSection::Find(std::string_view key) {
  if (std::ranges::find(asked_, key) == asked_.end()) asked_.emplace_back(key);
  for (const auto& entry : node_) {
    if (entry.first.Scalar() == key)
      return entry.second.IsNull() ? std::nullopt : std::optional<YAML::Node>(entry.second);
  }
  return std::nullopt;
}

bool YamlSection::Has(std::string_view key) { return Find(key).has_value(); }

YamlSection YamlSection::Section(std::string_view key) {
  const auto node = Find(key);
  return YamlSection(file_, FullName(key), node ? *node : YAML::Node());
}

int YamlSection::LineOf(std::string_view key) const {
  for (const auto& entry : node_) {
    if (entry.first.Scalar() == key) return Line(entry.first, line_);
  }
  return line_;
}

void YamlSection::Finish(std::span<const std::string> everywhere) const {
  for (const auto& entry : node_) {
    const std::string& key = entry.first.Scalar();
    if (std::ranges::find(asked_, key) != asked_.end()) continue;
    std::string_view meant = Nearest(key, asked_);
    if (meant.empty()) {
      const auto same = std::ranges::find(everywhere, std::string_view(key), LastPart);
      if (same != everywhere.end()) meant = *same;
    }
    Fail(ErrorKind::kInvalidFile, "{}:{}: {}: unknown key{}", file_.string(), Line(entry.first, line_),
         FullName(key), meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant));
  }
}

void YamlSection::FailAt(std::string_view key, std::string_view message) const {
  Fail(ErrorKind::kInvalidFile, "{}:{}: {}: {}", file_.string(), LineOf(key), FullName(key), message);
}

void YamlSection::FailMissing(std::string_view key, std::string_view help) const {
  for (const auto& entry : node_) {
    const std::string& present = entry.first.Scalar();
    const bool known = std::ranges::find(asked_, present) != asked_.end();
    if (!known && AreNear(present, key)) FailAt(present, fmt::format("unknown key; did you mean '{}'?", key));
  }
  FailAt(key, fmt::format("is missing ({})", help));
}

void YamlSection::FailType(std::string_view key, const YAML::Node& node, std::string_view expected) const {
  Fail(ErrorKind::kInvalidFile, "{}:{}: {}: expected {}, found {}", file_.string(), Line(node, line_),
       FullName(key), expected, Kind(node));
}

void YamlSection::Convert(std::string_view key, const YAML::Node& node, std::string& out) const {
  if (!node.IsScalar()) FailType(key, node, "text");
  out = node.Scalar();
}

void YamlSection::Convert(std::string_view key, const YAML::Node& node, bool& out) const {
  if (!node.IsScalar() || (node.Scalar() != "true" && node.Scalar() != "false"))
    FailType(key, node, "true or false");
  out = node.Scalar() == "true";
}

void YamlSection::Convert(std::string_view key, const YAML::Node& node, double& out) const {
  if (!ParseNumber(node, out) || !std::isfinite(out)) FailType(key, node, "a number");
}

void YamlSection::Convert(std::string_view key, const YAML::Node& node, std::int64_t& out) const {
  if (!ParseNumber(node, out)) FailType(key, node, "an integer");
}

void YamlSection::Convert(std::string_view key, const YAML::Node& node, std::uint64_t& out) const {
  if (!ParseNumber(node, out)) FailType(key, node, "an integer of at least 0");
}

}  // namespace longspan
