// The keys of a recipe's section `eval`; see recipe_keys.h.
#pragma once

#include "release/recipe/recipe.h"
#include "release/recipe/recipe_ranges.h"

namespace longspan {

template <Is<PasskeyRecipe> R>
void Fields(R& f, auto& visit) {
  using namespace recipe_ranges;
  visit(Key{.name = "lengths",
            .help = "Lengths of the prompts that hide a passkey",
            .unit = "tokens",
            .range = kWindow,
            .otherwise = "the target",
            .changes = kEvaluateStage},
        f.lengths);
  visit(Key{.name = "depths",
            .help = "Places of the key, evenly from a prompt's start to its end",
            .range = Range{1, 1'000},
            .changes = kEvaluateStage},
        f.depths);
  visit(Key{.name = "trials",
            .help = "Prompts for each length and depth",
            .range = Range{1, 1e6},
            .changes = kEvaluateStage},
        f.trials);
  visit(Key{.name = "seed", .help = "Seed for the passkeys", .changes = kEvaluateStage}, f.seed);
}

template <Is<KldRecipe> R>
void Fields(R& f, auto& visit) {
  using namespace recipe_ranges;
  visit(Key{.name = "context",
            .help = "Length of the windows on which each type is compared with the merged model",
            .unit = "tokens",
            .range = Range{4, 1 << 24},
            .otherwise = "4,096, or the target where that is less",
            .changes = kCompareStage},
        f.context);
  visit(Key{.name = "max_tokens",
            .help = "Tokens compared at most; the model reads twice as many",
            .unit = "tokens",
            .range = kPositive,
            .changes = kCompareStage},
        f.max_tokens);
}

template <Is<ByPositionRecipe> R>
void Fields(R& f, auto& visit) {
  using namespace recipe_ranges;
  visit(Key{.name = "documents",
            .help = "Long documents that are read in one pass each; 0: not measured",
            .range = Range{0, 1e6},
            .changes = kEvaluateStage},
        f.documents);
  visit(Key{.name = "max_tokens",
            .help = "Tokens read of each",
            .unit = "tokens",
            .range = kWindow,
            .otherwise = "the target",
            .changes = kEvaluateStage},
        f.max_tokens);
}

template <Is<EvalRecipe> R>
void Fields(R& f, auto& visit) {
  using namespace recipe_ranges;
  visit(Key{.name = "inputs",
            .help = "Texts to measure on: files, folders or patterns; name long ones where the training "
                    "documents are short",
            .otherwise = "the documents held out"},
        f.inputs);
  visit(Key{.name = "contexts",
            .help = "Windows in which perplexity is measured",
            .unit = "tokens",
            .range = Range{4, 1 << 24},
            .otherwise = "4,096, or the target where that is less",
            .changes = kEvaluateStage},
        f.contexts);
  visit(Key{.name = "stride",
            .help = "Tokens that a window scores before it moves on, less than the shortest context; half of "
                    "it costs "
                    "twice as much",
            .unit = "tokens",
            .range = Range{1, 1 << 24},
            .otherwise = "half of the shortest context",
            .changes = kEvaluateStage},
        f.stride);
  visit(Key{.name = "max_tokens",
            .help = "Tokens scored in each context at most",
            .unit = "tokens",
            .range = kPositive,
            .changes = kEvaluateStage},
        f.max_tokens);
  visit.Section(Key{.name = "passkey", .help = "Retrieval of a number hidden in filler text"},
                [&] { Fields(f.passkey, visit); });
  visit.Section(Key{.name = "kld", .help = "KL divergence of each type from the merged model"},
                [&] { Fields(f.kld, visit); });
  visit.Section(Key{.name = "by_position", .help = "Loss by position, up to the target, in long documents"},
                [&] { Fields(f.by_position, visit); });
  visit(Key{.name = "control",
            .help = "Whether the base is measured with the released RoPE and no training, too, where that is "
                    "another than its own",
            .changes = kEvaluateStage},
        f.control);
}

}  // namespace longspan
