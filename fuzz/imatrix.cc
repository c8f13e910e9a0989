// Importance matrices: the GGUF form and the older .dat.
#include "fuzz/input.h"
#include "fuzz/target.h"
#include "quantize/importance.h"

namespace longspan::fuzz {

void Parse(std::span<const std::byte> input) {
  const MemoryFile file(input);
  const ImportanceMatrix matrix = ImportanceMatrix::Load(file.path());
  for (const auto& [name, entry] : matrix.entries()) matrix.MeanSquares(name, 1, entry.cols);
}

void MakeSeeds(const std::filesystem::path& folder) {
  ImportanceMatrix matrix;
  matrix.datasets = {"text"};
  matrix.chunks = 2;
  matrix.chunk_tokens = 8;
  matrix.Add("blk.0.attn_q.weight", std::vector<double>{1, 2, 3, 4}, 16);
  matrix.Add("output.weight", std::vector<double>{0, 0.5}, 16);
  matrix.Save(folder / "gguf");
  // .dat: entries, then for each its name, calls, values; then chunks and the text's name.
  const auto number = [](std::int32_t n) {
    return std::string(reinterpret_cast<const char*>(&n), sizeof(n));
  };
  const std::vector<float> values{1, 2, 3};
  std::string dat = number(1) + number(13) + "output.weight" + number(2) + number(3);
  dat.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  WriteFile(folder / "dat", dat + number(2) + number(4) + "text");
}

}  // namespace longspan::fuzz
