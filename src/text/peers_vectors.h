// llama.cpp's test vectors: texts in NAME.inp, the ids that they give in NAME.out.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace longspan {

// Each text ends with a separator line.
inline std::vector<std::string> PeerTexts(const std::string& file) {
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> texts;
  for (std::size_t begin = 0; begin < file.size();) {
    const std::size_t end = file.find(kSeparator, begin);
    texts.push_back(file.substr(begin, end - begin));
    if (end == std::string::npos) break;
    begin = end + kSeparator.size();
  }
  return texts;
}

inline std::vector<std::vector<std::int32_t>> PeerIds(const std::string& file) {
  std::vector<std::vector<std::int32_t>> all;
  std::istringstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    auto& ids = all.emplace_back();
    for (std::int32_t id; numbers >> id;) ids.push_back(id);
  }
  return all;
}

}  // namespace longspan
