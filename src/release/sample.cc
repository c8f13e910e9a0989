#include "release/sample.h"

#include "infer/loaded_model.h"
#include "infer/session.h"
#include "text/stream_decoder.h"

namespace longspan {

SampleText WriteSample(const std::filesystem::path& file, const std::string& name, const SampleRecipe& recipe,
                       const std::string& isa) {
  const LoadedModel model(file, {}, isa);
  const Tokenizer& tokenizer = model.tokenizer();
  SamplerOptions sampling;
  sampling.temperature = recipe.temperature;
  sampling.repeat_penalty = recipe.repeat_penalty;
  sampling.seed = recipe.seed;
  Sampler sampler(sampling);
  Session session(model.transformer());
  const std::vector<std::int32_t> prompt = tokenizer.Encode(recipe.prompt, {.add_bos = tokenizer.add_bos()});
  session.Prefill(prompt);
  StreamDecoder decoder(tokenizer, prompt, /*special=*/false);
  std::string text;
  GenerateOptions generate;
  generate.max_tokens = recipe.tokens;
  generate.stop_tokens = model.stop_tokens();
  session.Generate(sampler, generate, [&](std::int32_t token) {
    text += decoder.Push(token);
    return true;
  });
  text += decoder.Finish();
  return {name, recipe.prompt, text, recipe.temperature, recipe.repeat_penalty, recipe.seed};
}

}  // namespace longspan
