#include "infer/loaded_model.h"

#include "base/error.h"
#include "kernels/kernels.h"
#include "text/gguf_vocabulary.h"

namespace longspan {

LoadedModel::LoadedModel(const std::filesystem::path& path, const RopeOverride& rope, std::string_view isa,
                         Activations activations)
    : path_(path), file_(LoadModel(path)), tokenizer_(Tokenizer::Make(ReadVocabulary(file_.file->metadata()))) {
  if (tokenizer_->vocab_size() != file_.config.vocab_size) {
    Fail(ErrorKind::kInvalidFile, "{}: the tokenizer has {} tokens, the model {}", path.string(),
         tokenizer_->vocab_size(), file_.config.vocab_size);
  }
  Apply(rope, file_.config, file_.weights);
  transformer_.emplace(file_.config, file_.weights, ChooseKernels(isa, activations));
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
