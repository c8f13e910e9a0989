#include "cli/loaded_model.h"

#include "base/error.h"
#include "kernels/kernels.h"
#include "text/gguf_vocabulary.h"

namespace longspan {

void RopeOptions::AddTo(CLI::App& command) {
  constexpr const char* kGroup = "RoPE, instead of the file's";
  command.add_option("--rope-theta", theta, "Base of the rotary angles")
      ->check(CLI::PositiveNumber)
      ->group(kGroup);
  command.add_option("--rope-scaling", scaling, "none, linear, ntk, yarn or llama3")
      ->check(CLI::IsMember({"none", "linear", "ntk", "yarn", "llama3"}))
      ->group(kGroup);
  command.add_option("--rope-factor", factor, "Target window / original window")
      ->check(CLI::PositiveNumber)
      ->group(kGroup);
  command
      .add_option("--rope-original-context", original_context, "Window before scaling (default: the model's)")
      ->check(CLI::PositiveNumber)
      ->group(kGroup);
}

void RopeOptions::Apply(LlamaConfig& config, Weights& weights) const {
  if (theta) config.rope_theta = *theta;
  RopeScaling& rope = config.rope_scaling;
  if (factor > 0) rope.factor = factor;
  if (original_context > 0) rope.original_context = original_context;
  if (!scaling.empty()) {
    rope.kind = RopeScalingKind(scaling);
    if (rope.kind != RopeScaling::Kind::kNone && rope.factor == 1.0) {
      Fail(ErrorKind::kBadOption, "--rope-scaling {} needs --rope-factor", scaling);
    }
    if (rope.original_context == 0) rope.original_context = config.context;
    // The file's own factors belong to the scaling that it came with.
    weights.rope_factors = rope.kind == RopeScaling::Kind::kLlama3 ? Llama3RopeFactors(config) : Tensor();
  }
}

LoadedModel::LoadedModel(const std::filesystem::path& path, const RopeOptions& rope)
    : path_(path),
      file_(LoadModel(path)),
      tokenizer_(Tokenizer::Make(ReadVocabulary(file_.file->metadata()))) {
  if (tokenizer_->vocab_size() != file_.config.vocab_size) {
    Fail(ErrorKind::kInvalidFile, "{}: the tokenizer has {} tokens, the model {}", path.string(),
         tokenizer_->vocab_size(), file_.config.vocab_size);
  }
  rope.Apply(file_.config, file_.weights);
  transformer_.emplace(file_.config, file_.weights, ChooseKernels("auto"));
}

std::optional<std::int32_t> LoadedModel::bos() const {
  if (!tokenizer_->add_bos() || tokenizer_->bos() < 0) return std::nullopt;
  return tokenizer_->bos();
}

}  // namespace longspan
