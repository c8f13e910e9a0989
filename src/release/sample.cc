#include "release/sample.h"

#include "infer/loaded_model.h"
#include "infer/session.h"
#include "text/stream_decoder.h"

namespace longspan {

SamplerOptions SamplerOf(const SampleRecipe& recipe) {
  SamplerOptions options;
  options.temperature = recipe.temperature;
  options.repeat_penalty = recipe.repeat_penalty;
  options.seed = recipe.seed;
  return options;
}

SampleText WriteSample(const std::filesystem::path& file, const std::string& name, const SampleRecipe& recipe,
                       const std::string& isa) {
  const LoadedModel model(file, {}, isa);
  const Tokenizer& tokenizer = model.tokenizer();
  Sampler sampler(SamplerOf(recipe));
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
