#include "bench/peers/llama_file.h"

#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "tensor/tensor.h"

namespace longspan::peers {

void WriteAsLlama(const LlamaLibrary& library, const std::filesystem::path& source,
                  const std::filesystem::path& like, const std::filesystem::path& out,
                  const ImportanceOf& importance) {
  const auto from = GgufFile::Open(source), pattern = GgufFile::Open(like);
  GgufWriter writer(out, pattern->metadata());
  for (const GgufTensor& tensor : pattern->tensors()) writer.Declare(tensor.name, tensor.type, tensor.shape);
  for (const GgufTensor& tensor : pattern->tensors()) {
    if (Traits(tensor.type).block_elements == 1) {
      writer.Write(tensor.name, tensor.bytes);
      continue;
    }
    const Tensor values = from->LoadTensor(tensor.name).ToF32();
    const float* weights = importance ? importance(tensor.name, values.cols()) : nullptr;
    const std::vector<float> equal(static_cast<std::size_t>(values.cols()), 1.0f);
    if (weights == nullptr && library.NeedsImportance(tensor.type)) weights = equal.data();
    writer.Write(tensor.name, library.Quantize(tensor.type, values.floats(), values.cols(), weights));
  }
  writer.Commit();
}

}  // namespace longspan::peers
