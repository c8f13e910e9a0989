// quantize's search for the best types of a file of a given size: its options, and what it prints.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "eval/type_search.h"
#include "quantize/quantize.h"

namespace longspan {

struct SearchOptions {
  std::string size;  // "3.6GiB", or a mix, which stands for its size
  double bits_per_weight = 0;
  std::vector<std::string> texts;
  std::int64_t tokens = 4096;
  std::string isa = "auto";

  // --target-size, --target-bpw, --calibration, --calibration-tokens, --isa.
  void AddTo(CLI::App& command);
  bool wanted() const { return !size.empty() || bits_per_weight > 0; }

  // Error(kBadOption) for something that is not a size, or a text shorter than a chunk.
  TypeSearchResult Search(const std::string& in, const QuantizeOptions& quantize) const;
};

// The types by part and layer, what they cost, and the arguments that repeat the choice. `given` are the
// rules that the user gave, which come first.
void PrintSearch(const TypeSearchResult& result, const std::vector<std::string>& given);
nlohmann::ordered_json ToJson(const TypeSearchResult& result, const std::vector<std::string>& given);

// Bytes of "3.6GiB", "900 MB" or "12345"; nothing where it is not a size.
std::optional<std::int64_t> ParseSize(std::string_view text);

}  // namespace longspan
