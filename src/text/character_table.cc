#include "text/character_table.h"

#include <algorithm>
#include <map>
#include <string>

#include "text/character_class.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace longspan {
namespace {

constexpr char32_t kCharacters = 0x110000, kPlane = 0x10000;

bool IsSurrogate(char32_t c) { return c >= 0xD800 && c < 0xE000; }

// Sets the class of those characters of the plane from `first` on that `run`, a regular expression for runs
// of them, finds.
void Mark(const Regex& run, char32_t first, const std::string& plane, CharacterClass type,
          std::vector<CharacterClass>& classes) {
  std::size_t at = 0;
  char32_t c = first;
  const auto next = [&] {
    at += FirstUtf8Char(std::string_view(plane).substr(at)).length;
    do ++c;
    while (IsSurrogate(c));
  };
  while (const auto match = run.Find(plane, at)) {
    while (at < match->begin) next();
    for (; at < match->end; next()) classes[c] = type;
  }
}

std::vector<CharacterClass> AllClasses() {
  std::vector<CharacterClass> classes(kCharacters, CharacterClass::kOther);
  const Regex letters(R"(\p{L}+)"), numbers(R"(\p{N}+)");
  std::string plane;
  for (char32_t first = 0; first < kCharacters; first += kPlane) {
    plane.clear();
    for (char32_t c = first; c < first + kPlane; ++c) {
      if (IsSurrogate(c)) continue;
      AppendUtf8(c, plane);
      if (IsWhiteSpace(c)) classes[c] = CharacterClass::kSpace;
    }
    Mark(letters, first, plane, CharacterClass::kLetter, classes);
    Mark(numbers, first, plane, CharacterClass::kNumber, classes);
  }
  return classes;
}

}  // namespace

CharacterTable::CharacterTable() {
  const std::vector<CharacterClass> classes = AllClasses();
  std::copy_n(classes.begin(), ascii_.size(), ascii_.begin());
  std::map<Block, std::uint16_t> known;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    Block block;
    std::copy_n(classes.begin() + static_cast<std::ptrdiff_t>(i * kBlock), kBlock, block.begin());
    const auto [found, is_new] = known.try_emplace(block, static_cast<std::uint16_t>(blocks_.size()));
    if (is_new) blocks_.push_back(block);
    block_of_[i] = found->second;
  }
}

const CharacterTable& CharacterTable::Get() {
  static const CharacterTable table;
  return table;
}

}  // namespace longspan
