#include "data/text_field.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "text/utf8.h"

namespace longspan {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr char32_t kReplacement = 0xFFFD;

bool IsHighSurrogate(char32_t code) { return code >= 0xD800 && code < 0xDC00; }
bool IsLowSurrogate(char32_t code) { return code >= 0xDC00 && code < 0xE000; }

// The bytes at which copying a string stops.
constexpr auto kStops = [] {
  std::array<bool, 256> stops{};
  for (int c = 0; c < 0x20; ++c) stops[c] = true;
  stops['"'] = stops['\\'] = true;
  return stops;
}();

// Each function reads one thing and moves past it. Where it is not there, the function returns false and
// Problem() says what was expected.
class ObjectScanner {
 public:
  ObjectScanner(std::string_view json, std::string_view field) : json_(json), field_(field) {}

  bool Object();
  bool String(std::string* out);  // null: not wanted

  bool found() const { return found_; }
  bool is_string() const { return is_string_; }
  std::string& text() { return text_; }
  const SubsetMarks& marks() const { return marks_; }
  bool at_end() const { return at_ >= json_.size(); }
  std::size_t at() const { return at_; }
  std::string Problem() const {
    return fmt::format("expected {} at byte {} of the record", expected_, at_ + 1);
  }

 private:
  bool Expected(std::string_view what) {
    expected_ = what;
    return false;
  }
  void SkipSpace() { at_ = std::min(json_.find_first_not_of(kSpace, at_), json_.size()); }
  bool Take(char c) {
    if (at_end() || json_[at_] != c) return false;
    ++at_;
    return true;
  }
  // The closing bracket of what is open.
  char Closer() const { return open_.back() == '{' ? '}' : ']'; }

  bool Key();
  bool Value();
  bool Separator();  // closes what ends here
  bool Atom();
  void Mark();  // the value that begins here, whose key was read
  bool Escape(std::string& out);
  bool Hex4(char32_t& code);

  std::string_view json_, field_, expected_;
  std::size_t at_ = 0;
  std::string open_;  // brackets
  bool wanted_ = false, found_ = false, is_string_ = false;
  std::string key_, text_;
  SubsetMarks marks_;
};

bool ObjectScanner::Object() {
  SkipSpace();
  if (!Take('{')) return Expected("'{'");
  open_ = "{";
  SkipSpace();
  if (Take('}')) return true;
  while (!open_.empty()) {
    if (open_.back() == '{' && !Key()) return false;
    if (!Value() || !Separator()) return false;
  }
  return true;
}

bool ObjectScanner::Key() {
  const bool outer = open_.size() == 1;
  key_.clear();
  if (!String(outer ? &key_ : nullptr)) return false;
  wanted_ = outer && !found_ && key_ == field_;
  SkipSpace();
  if (!Take(':')) return Expected("':'");
  SkipSpace();
  if (outer) Mark();
  return true;
}

void ObjectScanner::Mark() {
  if (key_ == "red_pajama_subset") marks_.subset = at_;
  if (key_ == "meta") marks_.meta = at_;
  if (key_ == "source") marks_.source = at_;
}

// Reads a string or a number, or an empty list or object up to its closing bracket. In a list or object that
// is not empty, it reads the first such value.
bool ObjectScanner::Value() {
  for (;;) {
    if (at_end()) return Expected("a value");
    const bool wanted = std::exchange(wanted_, false);
    found_ |= wanted;
    const char first = json_[at_];
    if (first == '"') {
      is_string_ |= wanted;
      return String(wanted ? &text_ : nullptr);
    }
    if (first != '{' && first != '[') return Atom();
    open_ += first;
    ++at_;
    SkipSpace();
    if (!at_end() && json_[at_] == Closer()) return true;
    if (first == '{' && !Key()) return false;
  }
}

bool ObjectScanner::Separator() {
  for (;;) {
    SkipSpace();
    if (Take(',')) {
      SkipSpace();
      return true;
    }
    if (!Take(Closer())) return Expected(open_.back() == '{' ? "',' or '}'" : "',' or ']'");
    open_.pop_back();
    if (open_.empty()) return true;
  }
}

// A number, a name such as null, or what other programs write instead of one.
bool ObjectScanner::Atom() {
  const std::size_t begin = at_;
  const auto belongs = [](char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '+' || c == '-' ||
           c == '.';
  };
  while (!at_end() && belongs(json_[at_])) ++at_;
  return at_ > begin || Expected("a value");
}

bool ObjectScanner::String(std::string* out) {
  if (!Take('"')) return Expected("'\"'");
  for (;;) {
    const std::size_t begin = at_;
    while (!at_end() && !kStops[static_cast<unsigned char>(json_[at_])]) ++at_;
    if (out != nullptr) out->append(json_.substr(begin, at_ - begin));
    if (at_end()) return Expected("the end of the string");
    if (Take('"')) return true;
    if (Take('\\')) {
      if (out == nullptr)
        at_ = std::min(at_ + 1, json_.size());
      else if (!Escape(*out))
        return false;
      continue;
    }
    if (out != nullptr || json_[at_] == '\n') return Expected("no control character");
    ++at_;
  }
}

bool ObjectScanner::Escape(std::string& out) {
  constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  if (at_end()) return Expected("an escape");
  if (const std::size_t i = kNames.find(json_[at_]); i != kNames.npos) {
    out += kMeanings[i];
    ++at_;
    return true;
  }
  char32_t code = 0;
  if (!Take('u')) return Expected("an escape");
  if (!Hex4(code)) return false;
  if (IsHighSurrogate(code) && json_.substr(at_).starts_with("\\u")) {
    const std::size_t second = at_;
    char32_t low = 0;
    at_ += 2;
    if (!Hex4(low)) return false;
    if (IsLowSurrogate(low))
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    else
      at_ = second;  // not its other half: read it as a character of its own
  }
  const bool half = IsHighSurrogate(code) || IsLowSurrogate(code);
  AppendUtf8(half ? kReplacement : code, out);
  return true;
}

bool ObjectScanner::Hex4(char32_t& code) {
  for (int i = 0; i < 4; ++i, ++at_) {
    if (at_end()) return Expected("four hexadecimal digits");
    const char c = json_[at_], lower = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9')
      code = code << 4 | static_cast<char32_t>(c - '0');
    else if (lower >= 'a' && lower <= 'f')
      code = code << 4 | static_cast<char32_t>(lower - 'a' + 10);
    else
      return Expected("four hexadecimal digits");
  }
  return true;
}

}  // namespace

TextField ReadTextField(std::string_view json, std::string_view field) {
  using State = TextField::State;
  ObjectScanner scanner(json, field);
  TextField result;
  if (!scanner.Object()) {
    result.state = scanner.at_end() ? State::kUnfinished : State::kMalformed;
    result.problem = scanner.Problem();
    return result;
  }
  result.length = scanner.at();
  result.state = State::kNoText;
  if (!scanner.found())
    result.problem = fmt::format("no field \"{}\"", field);
  else if (!scanner.is_string())
    result.problem = fmt::format("field \"{}\" is not a string", field);
  else if (ValidUtf8Prefix(scanner.text()) < scanner.text().size())
    result.problem = fmt::format("field \"{}\" is not UTF-8", field);
  if (!result.problem.empty()) return result;
  result.state = State::kText;
  result.text = std::move(scanner.text());
  result.marks = scanner.marks();
  return result;
}

std::optional<std::string> ReadJsonString(std::string_view json) {
  std::string text;
  if (!ObjectScanner(json, {}).String(&text) || ValidUtf8Prefix(text) < text.size()) return std::nullopt;
  return text;
}

}  // namespace longspan
