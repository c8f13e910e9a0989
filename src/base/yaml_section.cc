#include "base/yaml_section.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <set>

#include "base/file.h"

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
  return Distance(found, known) <= std::max<std::size_t>(1, found.size() / 3);
}

int Line(const YAML::Node& node, int otherwise) {
  const YAML::Mark mark = node.Mark();
  return mark.is_null() ? otherwise : mark.line + 1;
}

std::string Kind(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map: return "a mapping";
    case YAML::NodeType::Sequence: return "a list";
    case YAML::NodeType::Scalar: return fmt::format("'{}'", node.Scalar());
    default: return "nothing";
  }
}

// The digits of an integer as YAML's users write it: 500_000 is 500000. Empty unless every underscore stands
// between two digits.
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

}  // namespace

YAML::Node LoadYaml(const std::filesystem::path& path) { return ParseYaml(path, ReadFile(path, kMaxYaml)); }

YAML::Node ParseYaml(const std::filesystem::path& path, const std::string& text) {
  CheckDepth(path, text);
  try {
    return YAML::Load(text);
  } catch (const YAML::Exception& error) {
    Fail(ErrorKind::kInvalidFile, "{}:{}: not YAML: {}", path.string(), error.mark.line + 1, error.msg);
  }
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
  return name_.empty() ? std::string(key) : fmt::format("{}.{}", name_, key);
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

YamlSection YamlSection::RequireSection(std::string_view key) {
  if (!Find(key)) FailMissing(key);
  return Section(key);
}

void YamlSection::Finish() const {
  for (const auto& entry : node_) {
    const std::string& key = entry.first.Scalar();
    if (std::ranges::find(asked_, key) != asked_.end()) continue;
    const auto nearest =
        std::ranges::min_element(asked_, {}, [&](const std::string& known) { return Distance(key, known); });
    const bool near = nearest != asked_.end() && AreNear(key, *nearest);
    Fail(ErrorKind::kInvalidFile, "{}:{}: {}: unknown key{}", file_.string(), Line(entry.first, line_),
         FullName(key), near ? fmt::format("; did you mean '{}'?", *nearest) : "");
  }
}

void YamlSection::FailAt(std::string_view key, std::string_view message) const {
  int line = line_;
  for (const auto& entry : node_) {
    if (entry.first.Scalar() == key) line = Line(entry.first, line_);
  }
  Fail(ErrorKind::kInvalidFile, "{}:{}: {}: {}", file_.string(), line, FullName(key), message);
}

void YamlSection::FailMissing(std::string_view key) const {
  for (const auto& entry : node_) {
    const std::string& present = entry.first.Scalar();
    if (present != key && AreNear(present, key))
      FailAt(present, fmt::format("unknown key; did you mean '{}'?", key));
  }
  FailAt(key, "is missing");
}

void YamlSection::FailRange(std::string_view key, const std::string& low, const std::string& high,
                            const std::string& found) const {
  FailAt(key, fmt::format("expected {} to {}, found {}", low, high, found));
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
