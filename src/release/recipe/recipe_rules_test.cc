#include "release/recipe/recipe_rules.h"

#include "release/testing/recipe_files.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST_F(RecipeTest, ContradictionsSayWhatToWrite) {
  ExpectFault("inputs: text", "inputs: []", "r.yml:2: data.inputs: expected at least one");
  ExpectFault("inputs: text", "inputs: text, min_tokens: 9, max_tokens: 8",
              "data.max_tokens: 8 is less than min_tokens, 9");
  ExpectFault("inputs: text", "inputs: text, slice: true",
              "data.slice: documents are cut at data.max_tokens, which is 0");
  ExpectFault("base:", "rope: {scaling: yarn, original_context: 4_096}\nbase:",
              "r.yml:1: rope.original_context: 4096 is no less than the target, 4096");
  ExpectFault("4_096}", "4_096, release: 2_048}",
              "r.yml:3: context.release: 2048 is less than the target, 4096; write 4096 or more");
  ExpectFault("inputs: text", "inputs: text, validation: 0",
              "r.yml:2: data.validation: 0 holds out no document to measure on; write 0.05");
  ExpectFault("steps: 10", "steps: 10\n  pack: true\npose: {skip_text: true}",
              "r.yml:8: pose.skip_text: text cannot skip where documents are packed");
  ExpectFault("steps: 10", "steps: 10\n  targets: [q, q]", "train.targets: 'q' is given twice");
  ExpectFault("steps: 10", "steps: 10\n  warmup: 11", "r.yml:7: train.warmup: 11 is more than the 10 steps");
  ExpectFault("steps: 10", "steps: 10\n  echo_share: 0.5",
              "train.echo_share: is a share of train.retrieval_share");
  ExpectFault("steps: 10", "steps: 10\n  type: Q8_0", "train.type: expected F32, F16 or BF16, found 'Q8_0'");
  ExpectFault("base:", "quantize: {types: [Q4_K_N]}\nbase:",
              "r.yml:1: quantize.types: no mix is called Q4_K_N; there are");
  ExpectFault("base:", "quantize: {types: [Q4_K_M, q4_k]}\nbase:", "quantize.types: Q4_K_M is given twice");
  ExpectFault("base:", "quantize: {types: []}\nbase:", "quantize.types: expected at least one");
  ExpectFault("base:", "eval: {contexts: [128, 512], stride: 128}\nbase:",
              "r.yml:1: eval.stride: 128 is not less than the shortest context, 128; write 64");
  ExpectFault(
      "base:", "pose: {variant: randpos, skip_text: true}\nbase:", "pose.skip_text: randpos has no chunks");
  ExpectFault("target: 4_096", "target: 4_096, window: 2}\npose: {chunks: 3",
              "pose.chunks: 3 chunks in an example of 2");
  ExpectFault(
      "model: base.gguf",
      "model: base.gguf, new: {vocabulary: v, dim: 8, layers: 1, heads: 1, hidden_dim: 8, context: 8}",
      "base.new: extend stretches a model that is there");
}

// What is measured lies within the window that is released.
TEST_F(RecipeTest, MeasurementsKeepToTheWindow) {
  const std::string says =
      " is more than the window of the released files, 4096; write 4096 or less, or raise";
  ExpectFault("base:", "eval: {contexts: [512, 266_240]}\nbase:", "r.yml:1: eval.contexts: 266240" + says);
  ExpectFault("base:", "eval: {passkey: {lengths: [266_240]}}\nbase:",
              "r.yml:1: eval.passkey.lengths: 266240" + says);
  ExpectFault("base:", "eval: {kld: {context: 4_097}}\nbase:", "r.yml:1: eval.kld.context: 4097" + says);
  ExpectFault("base:", "eval: {by_position: {max_tokens: 4_097}}\nbase:",
              "r.yml:1: eval.by_position.max_tokens: 4097" + says);
  ExpectFault("license: mit", "license: mit, sample: {prompt: a, tokens: 5_000}",
              "r.yml:7: release.sample.tokens: 5000" + says);
  EXPECT_NO_THROW(LoadWith("4_096}", "4_096, release: 8_192}\neval: {contexts: [512, 8_192]}"));
}

TEST_F(RecipeTest, AStepIsOfAMillionExamplesAtMost) {
  ExpectFault(
      "steps: 10", "steps: 10\n  batch_size: 4_096\n  gradient_accumulation: 1_000",
      "r.yml:8: train.gradient_accumulation: 1000 passes of 4096 examples are 4096000 examples a step; "
      "write less, up to 256");
}

TEST_F(RecipeTest, NothingIsGivenTwice) {
  ExpectFault(
      "base:", "eval: {contexts: [512, 1_024, 512]}\nbase:", "r.yml:1: eval.contexts: 512 is given twice");
  ExpectFault("base:", "eval: {passkey: {lengths: [512, 512]}}\nbase:",
              "r.yml:1: eval.passkey.lengths: 512 is given twice");
  ExpectFault("inputs: text", "inputs: [text, text]", "r.yml:2: data.inputs: 'text' is given twice");
  ExpectFault("base:", "eval: {inputs: [a, b, a]}\nbase:", "r.yml:1: eval.inputs: 'a' is given twice");
  ExpectFault("license: mit", "license: mit, language: [en, en]", "release.language: 'en' is given twice");
  ExpectFault("license: mit", "license: mit, tags: [a, a]", "release.tags: 'a' is given twice");
}

TEST_F(RecipeTest, LicencesLanguagesAndTagsAreWhatHubsKnow) {
  for (const char* license :
       {"\"mit\\nbase_model: x\"", "'a: b'", "'---'", "MIT OR Apache-2.0", "'#'", "''", "\"\\u2028mit\""}) {
    ExpectFault("license: mit", fmt::format("license: {}", license),
                "r.yml:7: release.license: expected a licence as hubs name it, such as apache-2.0 or other, "
                "found '");
  }
  for (const char* license : {"apache-2.0", "llama3.1", "gpl-3.0+", "bigscience-bloom-rail-1.0", "other"})
    EXPECT_EQ(LoadWith("license: mit", fmt::format("license: {}", license)).release.license, license);
  ExpectFault("license: mit", "license: mit, language: [english text]", "release.language: expected codes");
  ExpectFault("license: mit", "license: mit, tags: [\"a\\nb\"]", "release.tags: expected words");
}

TEST_F(RecipeTest, TheSampleIsOneThatCanBeDrawn) {
  Recipe recipe = Load(kLeast);
  recipe.release.sample.repeat_penalty = 0;  // by a program: the schema's range does not stop it
  EXPECT_THAT([&] { CompleteRecipe(recipe); },
              ThrowsMessage<Error>(HasSubstr("release.sample: repeat penalty is 0, expected more than 0")));
}

}  // namespace
}  // namespace longspan
