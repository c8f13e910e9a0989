// Texts that tokenizers might cut differently.
#pragma once

#include <cstdint>
#include <iterator>
#include <random>
#include <string>

namespace longspan::peers {

inline void AppendUtf8(std::uint32_t point, std::string& text) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
  if (point < 0x80) {
    text += static_cast<char>(point);
  } else if (point < 0x800) {
    text += static_cast<char>(0xC0 | point >> 6), tail(0);
  } else if (point < 0x10000) {
    text += static_cast<char>(0xE0 | point >> 12), tail(6), tail(0);
  } else {
    text += static_cast<char>(0xF0 | point >> 18), tail(12), tail(6), tail(0);
  }
}

// Runs of letters, digits, spaces and marks of many scripts, as text has them, and now and then any code
// point. With `assigned` there are none of these, because whether an unassigned code point is a letter
// depends on the version of Unicode.
inline std::string RandomText(std::mt19937& random, bool assigned = false) {
  struct Range {
    std::uint32_t first, last;
  };
  static constexpr Range kRanges[] = {
      {0x20, 0x7E},       {'a', 'z'},         {'A', 'Z'},         {'0', '9'},         {0x09, 0x0D},
      {0x20, 0x20},       {0x21, 0x2F},       {0xA0, 0xFF},       {0x100, 0x24F},     {0x300, 0x36F},
      {0x370, 0x3FF},     {0x400, 0x4FF},     {0x590, 0x5FF},     {0x600, 0x6FF},     {0x900, 0x97F},
      {0xE00, 0xE7F},     {0x1100, 0x11FF},   {0x2000, 0x206F},   {0x2070, 0x209F},   {0x20A0, 0x20CF},
      {0x2150, 0x218F},   {0x2190, 0x21FF},   {0x2500, 0x257F},   {0x2581, 0x2581},   {0x3000, 0x303F},
      {0x3040, 0x30FF},   {0x4E00, 0x9FFF},   {0xAC00, 0xD7A3},   {0xFE00, 0xFE0F},   {0xFF00, 0xFFEF},
      {0x1D400, 0x1D7FF}, {0x1F300, 0x1F64F}, {0x1F900, 0x1F9FF}, {0x20000, 0x2A6DF}, {1, 0x10FFFF}};
  std::string text;
  const std::size_t runs = 1 + random() % 12;
  for (std::size_t run = 0; run < runs; ++run) {
    const Range range = kRanges[random() % (std::size(kRanges) - (assigned ? 1 : 0))];
    const std::size_t length = 1 + random() % 6;
    for (std::size_t i = 0; i < length; ++i) {
      const std::uint32_t point = range.first + random() % (range.last - range.first + 1);
      const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
      AppendUtf8(surrogate ? 0xFFFD : point, text);
    }
    if (random() % 3 == 0) text += ' ';
    if (random() % 12 == 0) text += random() % 2 == 0 ? "'s" : "'LL";
  }
  return text;
}

}  // namespace longspan::peers
