// The keys of a recipe, each declared once: name, help, unit, range, what it changes, and who needs it.
// Reading, docs/recipes.md, fingerprints, the card's table and JSON follow from here. (Those of TrainOptions
// are in train/options.h.)
#pragma once

#include "release/recipe/eval_keys.h"
#include "release/recipe/recipe.h"
#include "release/recipe/recipe_ranges.h"

namespace longspan {

template <>
inline constexpr int kEnumSize<RopeScaling::Kind> = 5;
template <>
inline constexpr int kEnumSize<PoseOptions::Variant> = 3;
template <>
inline constexpr int kEnumSize<PoseOptions::Lengths> = 3;
template <>
inline constexpr int kEnumSize<NewModelRecipe::Start> = 2;

inline std::string_view Name(PoseOptions::Lengths lengths) {
  constexpr std::array<std::string_view, 3> names{"auto", "equal", "random"};
  return names[static_cast<std::size_t>(lengths)];
}

template <Is<NewModelRecipe> R>
void Fields(R& f, auto& visit) {
  using namespace recipe_ranges;
  const auto dimension = [&](std::string_view name, std::string_view help, auto& field,
                             std::string_view otherwise = {}) {
    visit(Key{.name = name,
              .help = help,
              .range = kPositive,
              .otherwise = otherwise,
              .changes = kTrainStage,
              .required = otherwise.empty() ? kEverybody : 0},
          field);
  };
  visit(Key{.name = "vocabulary", .help = "GGUF file with the tokenizer", .required = kEverybody},
        f.vocabulary);
  visit(Key{.name = "name", .help = "Name that the file carries"}, f.config.name);
  dimension("dim", "Width of the residual stream", f.config.dim);
  dimension("layers", "Number of layers", f.config.layers);
  dimension("heads", "Number of query heads", f.config.heads);
  dimension("kv_heads", "Number of key and value heads", f.config.kv_heads, "heads");
  dimension("head_dim", "Width of a head", f.config.head_dim, "dim / heads");
  dimension("hidden_dim", "Width of the feed-forward network", f.config.hidden_dim);
  dimension("context", "Window that the model declares", f.config.context);
  visit(Key{.name = "rope_theta",
            .help = "Base of RoPE's frequencies",
            .range = kTheta,
            .changes = kTrainStage},
        f.config.rope_theta);
  visit(Key{.name = "norm_epsilon",
            .help = "Term against division by zero in RMSNorm",
            .range = Range{0, 0.1},
            .changes = kTrainStage},
        f.config.norm_epsilon);
  visit(Key{.name = "tied_embeddings",
            .help = "Whether the output matrix is the embedding",
            .changes = kTrainStage},
        f.config.tied_embeddings);
  visit(Key{.name = "initialization",
            .help = "Random weights (normal), or random ones with a head that looks things up (induction)",
            .changes = kTrainStage},
        f.start);
}

template <Is<DataRecipe> R>
void Fields(R& f, auto& visit) {
  using namespace recipe_ranges;
  visit(Key{.name = "inputs",
            .help = "Documents to train on: files, folders or patterns of .jsonl, .jsonl.zst or plain text",
            .required = kForExtend,
            .ignored = kForTrain},
        f.inputs);
  visit(Key{.name = "shards",
            .help = "Folder of tokenised documents that longspan prepare wrote; extend makes its own",
            .required = kForTrain,
            .ignored = kForExtend},
        f.shards);
  visit(Key{.name = "packages",
            .help = "Debian packages that install the inputs, for the message where they are missing",
            .ignored = kForTrain},
        f.packages);
  visit(Key{.name = "text_field",
            .help = "Field of a JSON line that holds the text",
            .changes = kPrepareStage | kEvaluateStage | kCompareStage,
            .ignored = kForTrain},
        f.text_field);
  visit(Key{.name = "min_tokens",
            .help = "Shorter documents are left out",
            .unit = "tokens",
            .range = kCount,
            .changes = kPrepareStage,
            .ignored = kForTrain},
        f.min_tokens);
  visit(Key{.name = "max_tokens",
            .help = "Longer documents are left out, or sliced; 0: no limit",
            .unit = "tokens",
            .range = kCount,
            .changes = kPrepareStage,
            .ignored = kForTrain},
        f.max_tokens);
  visit(Key{.name = "slice",
            .help = "Cut documents of more than max_tokens into pieces instead of leaving them out",
            .changes = kPrepareStage,
            .ignored = kForTrain},
        f.slice);
  visit(
      Key{.name = "near_duplicates",
          .help =
              "Leave out documents that share about 0.72 or more of their five-word shingles with an earlier "
              "one (MinHash); equal ones are left out in any case",
          .changes = kPrepareStage,
          .ignored = kForTrain},
      f.near_duplicates);
  visit(Key{.name = "validation",
            .help = "Share of documents held out, for the validation loss and for eval",
            .range = Range{0, 0.5},
            .changes = kPrepareStage,
            .ignored = kForTrain},
        f.validation);
  visit(Key{.name = "retention",
            .help = "Texts of kinds that the base knows, one an entry (a file, folder or pattern), none of "
                    "them trained on: every evaluation says what became of their perplexity",
            .ignored = kForTrain},
        f.retention);
}

template <Is<ContextRecipe> R>
void Fields(R& f, auto& visit) {
  using namespace recipe_ranges;
  visit(Key{.name = "target",
            .help = "Window to reach",
            .unit = "tokens",
            .range = kWindow,
            .otherwise = "none: nothing is stretched",
            .changes = kTrainStage | kMergeStage,
            .required = kForExtend},
        f.target);
  visit(Key{.name = "window",
            .help = "Length of a training example, which is what training costs; PoSE needs far less than "
                    "the target",
            .unit = "tokens",
            .range = kWindow,
            .otherwise = "the base's window",
            .changes = kTrainStage},
        f.window);
  visit(Key{.name = "release",
            .help = "Window that the released files declare",
            .unit = "tokens",
            .range = kWindow,
            .otherwise = "the target",
            .changes = kMergeStage,
            .ignored = kForTrain},
        f.release);
}

template <Is<RopeRecipe> R>
void Fields(R& f, auto& visit) {
  using namespace recipe_ranges;
  constexpr unsigned changes = kTrainStage | kMergeStage;
  visit(Key{.name = "scaling",
            .help = "How RoPE's frequencies are scaled, while training and after; none: as the base has them",
            .changes = changes},
        f.scaling);
  visit(Key{.name = "factor",
            .help = "By how much RoPE is scaled",
            .range = Range{1, 1e6},
            .otherwise = "target / the base's window",
            .changes = changes},
        f.factor);
  visit(Key{.name = "theta",
            .help = "Base of RoPE's frequencies, while training and after",
            .range = kTheta,
            .otherwise = "the base's",
            .changes = changes},
        f.theta);
  visit(Key{.name = "original_context",
            .help = "Window before scaling, for yarn and llama3",
            .unit = "tokens",
            .range = kWindow,
            .otherwise = "the base's window",
            .changes = changes},
        f.original_context);
  visit(Key{.name = "release_theta",
            .help = "Theta that the released files declare",
            .range = kTheta,
            .otherwise = "as trained",
            .changes = kMergeStage,
            .ignored = kForTrain},
        f.release_theta);
}

template <Is<PoseRecipe> R>
void Fields(R& f, auto& visit) {
  constexpr unsigned changes = kTrainStage;
  visit(Key{.name = "enabled",
            .help = "Whether examples take their positions from the whole target (PoSE)",
            .changes = changes},
        f.enabled);
  visit(Key{.name = "variant",
            .help = "Chunks of random lengths (paper), of equal lengths (axolotl), or any increasing "
                    "positions (randpos)",
            .changes = changes},
        f.options.variant);
  visit(Key{.name = "chunks",
            .help = "Runs of consecutive positions in an example",
            .range = Range{1, 1024},
            .changes = changes},
        f.options.chunks);
  visit(Key{.name = "lengths",
            .help = "Lengths of the chunks; auto: as the variant has them",
            .changes = changes},
        f.options.lengths);
  visit(Key{.name = "unmodified",
            .help = "Share of examples that keep plain positions",
            .range = recipe_ranges::kShare,
            .changes = changes},
        f.options.unmodified_share);
  visit(Key{.name = "skip_text",
            .help = "Where positions skip in a long document, let its text skip too",
            .changes = changes},
        f.options.skip_text);
}

template <Is<TrainRecipe> R>
void Fields(R& f, auto& visit) {
  using namespace recipe_ranges;
  if constexpr (std::is_const_v<R>)
    Fields(static_cast<const TrainOptions&>(f), visit);
  else
    Fields(static_cast<TrainOptions&>(f), visit);
  visit(Key{.name = "epochs",
            .help = "Passes over the examples, instead of steps",
            .unit = "epochs",
            .range = Range{1e-6, 1e6},
            .changes = kTrainStage},
        f.epochs);
  visit(Key{.name = "pack",
            .help = "Fill an example with several short documents, which do not see each other",
            .changes = kTrainStage},
        f.pack);
  visit(Key{.name = "retrieval_share",
            .help = "Share of examples that teach to look back: a hidden passkey, drawn apart from those of "
                    "eval, or an echo",
            .range = kShare,
            .changes = kTrainStage},
        f.retrieval_share);
  visit(Key{.name = "echo_share",
            .help = "Share of these that are echoes: random tokens that come again",
            .range = kShare,
            .changes = kTrainStage},
        f.echo_share);
  visit(Key{.name = "type",
            .help = "Type that a fully trained model is written as: F32, F16 or BF16",
            .otherwise = "the base's, or F16",
            .changes = kTrainStage,
            .ignored = kForExtend},
        f.type);
  visit(Key{.name = "out",
            .help = "Folder for checkpoints, log and result of longspan train; extend uses release.out",
            .required = kForTrain,
            .ignored = kForExtend},
        f.out);
}

template <Is<SampleRecipe> R>
void Fields(R& f, auto& visit) {
  visit(Key{.name = "prompt",
            .help = "What the sample goes on from; empty: no sample",
            .changes = kSampleStage},
        f.prompt);
  visit(Key{.name = "tokens",
            .help = "Length of the sample",
            .unit = "tokens",
            .range = Range{1, 1e6},
            .changes = kSampleStage},
        f.tokens);
  visit(Key{.name = "temperature",
            .help = "Temperature; 0: greedy",
            .range = Range{0, 100},
            .changes = kSampleStage},
        f.temperature);
  visit(Key{.name = "repeat_penalty",
            .help = "Penalty on repetition; 1: none",
            .range = Range{0.01, 100},
            .changes = kSampleStage},
        f.repeat_penalty);
  visit(Key{.name = "seed", .help = "Seed of the sample", .changes = kSampleStage}, f.seed);
}

template <Is<ReleaseRecipe> R>
void Fields(R& f, auto& visit) {
  visit(Key{.name = "name",
            .help = "Name of the model, which its files carry: letters, digits, '-', '_' and '.'",
            .changes = kMergeStage,
            .required = kForExtend},
        f.name);
  visit(Key{.name = "license",
            .help = "Licence of the model as hubs name it, such as apache-2.0 or llama3",
            .required = kForExtend},
        f.license);
  visit(Key{.name = "language", .help = "Languages of the model, such as en"}, f.language);
  visit(Key{.name = "tags", .help = "Tags of the card, besides those that follow from the job"}, f.tags);
  visit(Key{.name = "out",
            .help = "Folder of the release; intermediate results are beside it, in OUT.work",
            .otherwise = "out/NAME"},
        f.out);
  visit(Key{.name = "huggingface", .help = "Release the merged model as a Hugging Face folder, too"},
        f.huggingface);
  visit(Key{.name = "power_watts",
            .help = "Power that the machine draws, for the card's energy",
            .unit = "W",
            .range = Range{0, 1e9}},
        f.power_watts);
  visit(Key{.name = "power_source", .help = "Where this figure is from"}, f.power_source);
  visit(Key{.name = "grid_g_per_kwh",
            .help = "CO2 of the electricity",
            .unit = "g/kWh",
            .range = Range{0, 1e5}},
        f.grid_g_per_kwh);
  visit(Key{.name = "grid_source", .help = "Where this figure is from"}, f.grid_source);
  visit.Section(Key{.name = "sample", .help = "A text that the merged model writes, for the card"},
                [&] { Fields(f.sample, visit); });
}

template <Is<Recipe> R>
void Fields(R& f, auto& visit) {
  visit.Section(Key{.name = "base", .help = "The model to start from"}, [&] {
    visit(Key{.name = "model",
              .help = "GGUF file or Hugging Face folder of the model to stretch or to go on from",
              .required = kForExtend},
          f.base);
    visit(Key{.name = "id",
              .help = "What card and adapter name as the base model, such as meta-llama/Meta-Llama-3-8B",
              .otherwise = "the file's name"},
          f.base_id);
    visit.Section(
        Key{.name = "new", .help = "Dimensions of a new model, instead of base.model; for longspan train"},
        f.new_model);
  });
  visit.Section(Key{.name = "data", .help = "The documents"}, [&] { Fields(f.data, visit); });
  visit.Section(Key{.name = "context", .help = "The windows"}, [&] { Fields(f.context, visit); });
  visit.Section(Key{.name = "rope", .help = "Rotary positions"}, [&] { Fields(f.rope, visit); });
  visit.Section(
      Key{.name = "pose", .help = "Positions that skip ahead, so that short examples teach long distances"},
      [&] { Fields(f.pose, visit); });
  visit.Section(Key{.name = "train", .help = "How the model is trained"}, [&] { Fields(f.train, visit); });
  visit.Section(Key{.name = "quantize", .help = "The files of the release", .ignored = kForTrain}, [&] {
    visit(
        Key{.name = "types",
            .help = "A file for each: F16, BF16, Q8_0, Q6_K, Q5_K_M, Q4_K_M or another that quantize knows"},
        f.quantize);
  });
  visit.Section(
      Key{.name = "eval", .help = "What is measured, on the base and on the result", .ignored = kForTrain},
      [&] { Fields(f.eval, visit); });
  visit.Section(
      Key{.name = "release", .help = "The folder that is published, and its card", .ignored = kForTrain},
      [&] { Fields(f.release, visit); });
}

}  // namespace longspan
