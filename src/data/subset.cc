#include "data/subset.h"

#include <algorithm>
#include <array>
#include <optional>

namespace longspan {
namespace {

constexpr std::size_t kLongestName = 40;
constexpr std::array<std::string_view, 7> kRedPajama{"arxiv",  "book",          "c4",       "common_crawl",
                                                     "github", "stackexchange", "wikipedia"};
constexpr std::array<std::string_view, 3> kMetaKeys{"red_pajama_subset", "redpajama_set_name", "source"};

bool IsNameCharacter(char c) {
  return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '-' ||
         c == '.';
}

std::string Name(std::string_view value) {
  const std::string_view name = value.substr(0, value.find('/'));
  if (name.size() > kLongestName || !std::ranges::all_of(name, IsNameCharacter)) return "";
  return name == "cc" ? "common_crawl" : std::string(name);
}

std::string NameAt(std::string_view record, std::size_t at) {
  return at == SubsetMarks::kNone ? "" : Name(ReadJsonString(record.substr(at)).value_or(""));
}

std::string NameInMeta(std::string_view meta) {
  if (meta.starts_with('{')) {
    for (const std::string_view key : kMetaKeys) {
      if (std::string name = Name(ReadTextField(meta, key).text); !name.empty()) return name;
    }
  } else if (const std::optional<std::string> repr = ReadJsonString(meta)) {
    for (const std::string_view key : kMetaKeys) {
      if (std::string name = Name(PythonDictString(*repr, key)); !name.empty()) return name;
    }
  }
  return "";
}

// Reads the strings of Python's repr, and skips the rest by its brackets.
class ReprScanner {
 public:
  explicit ReprScanner(std::string_view repr) : repr_(repr) {}

  std::string Find(std::string_view key) {
    int depth = 0;
    bool wanted = false;  // the next thing is the value of `key`
    for (SkipSpace(); !AtEnd(); SkipSpace()) {
      const char c = repr_[at_];
      if (c == '\'' || c == '"') {
        std::string text = String();
        if (wanted) return text;
        SkipSpace();
        wanted = depth == 1 && text == key && !AtEnd() && repr_[at_] == ':';
        at_ += wanted;
        continue;
      }
      depth += c == '{' || c == '[' || c == '(';
      depth -= c == '}' || c == ']' || c == ')';
      wanted = false;
      ++at_;
    }
    return "";
  }

 private:
  bool AtEnd() const { return at_ >= repr_.size(); }
  void SkipSpace() {
    while (!AtEnd() && (repr_[at_] == ' ' || repr_[at_] == '\n')) ++at_;
  }
  // Escapes stay as they are but for the character that they protect: no name has any.
  std::string String() {
    const char quote = repr_[at_++];
    std::string text;
    for (; !AtEnd() && repr_[at_] != quote; ++at_) {
      if (repr_[at_] == '\\' && at_ + 1 < repr_.size()) text += repr_[at_++];
      text += repr_[at_];
    }
    ++at_;
    return text;
  }

  std::string_view repr_;
  std::size_t at_ = 0;
};

}  // namespace

std::string PythonDictString(std::string_view repr, std::string_view key) {
  return ReprScanner(repr).Find(key);
}

std::string SubsetOf(const std::filesystem::path& path) {
  std::string found;
  for (const std::filesystem::path& folder : path.parent_path()) {
    if (std::ranges::find(kRedPajama, folder.native()) != kRedPajama.end()) found = folder.native();
  }
  return found;
}

std::string SubsetOf(std::string_view record, const SubsetMarks& marks, const std::filesystem::path& path) {
  std::string name = NameAt(record, marks.subset);
  if (name.empty() && marks.meta != SubsetMarks::kNone) name = NameInMeta(record.substr(marks.meta));
  if (name.empty()) name = NameAt(record, marks.source);
  return name.empty() ? SubsetOf(path) : name;
}

}  // namespace longspan
