// Importance matrices: how strongly a text drives each input of each weight matrix. Quantising with one
// spends precision on the columns that matter.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace longspan {

class ImportanceMatrix {
 public:
  // What the inputs of one weight were. Experts, stacked in one tensor, each have sums and a count of their
  // own.
  struct Entry {
    std::int64_t cols = 0;
    std::vector<float> sums;           // [matrices, cols]: of x^2 over all tokens
    std::vector<std::int64_t> counts;  // [matrices]: tokens
  };

  // Reads what llama-imatrix writes: GGUF, or the older .dat, which it used before. Error(kInvalidFile) for a
  // file that is neither, or has a number that no sum of squares can be.
  static ImportanceMatrix Load(const std::filesystem::path& path);
  // Writes the GGUF form, whole or not at all: general.type "imatrix", imatrix.*, and for each weight F32
  // tensors NAME.in_sum2 {matrices, cols} and NAME.counts {matrices, 1}.
  void Save(const std::filesystem::path& path) const;

  // Adds `sums` [cols] over `tokens` to the weight of this GGUF name, an ordinary matrix.
  void Add(std::string_view weight, std::span<const double> sums, std::int64_t tokens);

  const Entry* Find(std::string_view weight) const;  // nullptr where there is none
  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  const std::string& source() const { return source_; }  // the file that it was read from

  // The mean squares that a weight is encoded with, [matrices, cols], none of them zero. Empty where the
  // weight has no entry. A column that the text never drove gets next to nothing. An expert that the text
  // never reached gets the same for each column. Error(kBadOption), naming both widths, where the entry is of
  // another width.
  std::vector<float> MeanSquares(std::string_view weight, std::int64_t matrices, std::int64_t cols) const;

  std::vector<std::string> datasets;  // the texts' names
  std::int64_t chunks = 0;            // windows read
  std::int64_t chunk_tokens = 0;      // tokens in each; 0 where the file does not say
  std::uint64_t fingerprint = 0;      // of the model and text, for a run that goes on; 0: unknown

 private:
  static ImportanceMatrix LoadGguf(const std::filesystem::path& path);
  static ImportanceMatrix LoadDat(const std::filesystem::path& path);

  std::map<std::string, Entry, std::less<>> entries_;
  std::string source_ = "importance matrix";  // the file that messages name
};

}  // namespace longspan
