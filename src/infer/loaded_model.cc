#include "infer/loaded_model.h"

#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/machine.h"
#include "formats/peft.h"
#include "kernels/kernels.h"
#include "text/gguf_vocabulary.h"

namespace longspan {

AdapterFile AdapterFile::Parse(const std::string& text) {
  AdapterFile file{text};
  const std::size_t colon = text.rfind(':');
  if (!std::filesystem::exists(file.path) && colon != std::string::npos) {
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data() + colon + 1, end, file.factor);
    if (error != std::errc() || at != end || !std::isfinite(file.factor)) {
      Fail(ErrorKind::kBadOption, "adapter {}: expected a path, or a path, a colon and a number", text);
    }
    file.path = text.substr(0, colon);
  }
  if (!std::filesystem::exists(file.path)) {
    Fail(ErrorKind::kBadOption, "adapter {}: no such folder or file", file.path.string());
  }
  return file;
}

namespace {

// The file stays in the system's cache beside the copy, and keys, values and activations need memory too.
bool HasRoomFor(std::size_t bytes) { return bytes <= AvailableMemoryBytes() / 2; }

}  // namespace

LoadedModel::LoadedModel(const std::filesystem::path& path, const RopeOverride& rope, std::string_view isa,
                         Activations activations, std::span<const AdapterFile> adapters, WeightMemory memory)
    : path_(path),
      file_(LoadModel(path)),
      weight_memory_(memory),
      tokenizer_(Tokenizer::Make(ReadVocabulary(file_.file->metadata()))) {
  if (tokenizer_->vocab_size() != file_.config.vocab_size) {
    Fail(ErrorKind::kInvalidFile, "{}: the tokenizer has {} tokens, the model {}", path.string(),
         tokenizer_->vocab_size(), file_.config.vocab_size);
  }
  const Kernels& kernels = ChooseKernels(isa, activations);
  if (memory == WeightMemory::kAuto) {
    const bool packs = activations == Activations::kInt8 && HasRoomFor(HugePageBytes(file_.weights, kernels));
    weight_memory_ = packs ? WeightMemory::kPacked : WeightMemory::kMapped;
  }
  if (weight_memory_ == WeightMemory::kPacked) {
    file_.weights = InHugePages(file_.weights, kernels);
    for (const GgufTensor& tensor : file_.file->tensors()) file_.file->Release(tensor.bytes);
  }
  Apply(rope, file_.config, file_.weights);
  transformer_.emplace(file_.config, file_.weights, kernels);
  for (const AdapterFile& adapter : adapters) {
    transformer_->Adapt(ReadAdapter(adapter.path, file_.config), adapter.factor);
  }
}

std::optional<std::int32_t> LoadedModel::bos() const {
  if (!tokenizer_->add_bos() || tokenizer_->bos() < 0) return std::nullopt;
  return tokenizer_->bos();
}

std::vector<std::int32_t> LoadedModel::stop_tokens() const {
  std::vector<std::int32_t> stops;
  for (std::int32_t id = 0; id < tokenizer_->vocab_size(); ++id) {
    if (tokenizer_->IsEndOfGeneration(id) || id == tokenizer_->bos()) stops.push_back(id);
  }
  return stops;
}

}  // namespace longspan
