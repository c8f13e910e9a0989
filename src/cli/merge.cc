// longspan merge: an adapter folded into its base.
#include <fmt/format.h>

#include <memory>

#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/outputs.h"
#include "cli/terminal.h"
#include "formats/llama_gguf.h"
#include "formats/peft.h"
#include "train/merge.h"

namespace longspan {
namespace {

struct MergeOptions {
  std::string base, adapter, out;
  RopeOverride rope;
  std::int64_t context = 0;
  OutputOptions output;
  bool clip = false;
};

void RunMerge(const MergeOptions& options) {
  options.output.Check(options.out, {options.base, options.adapter});
  ModelFile base = LoadModel(options.base);
  Apply(options.rope, base.config, base.weights);
  if (options.context > 0) base.config.context = options.context;
  const LoraAdapter adapter = ReadAdapter(options.adapter, base.config);
  if (adapter.Adapts({-1, Part::kEmbedding}))
    base.config.tied_embeddings = false;  // the LM head stays as it was
  const Weights merged = MergeAdapter(base.weights, adapter, ChooseKernels("auto"), Terminal(),
                                      options.clip ? TooLarge::kClip : TooLarge::kRefuse);
  SaveModel(options.out, base.config, merged, base.file->metadata());
  fmt::print("{}\n", options.out);
}

}  // namespace

void AddMerge(CLI::App& app) {
  auto options = std::make_shared<MergeOptions>();
  CLI::App* command = app.add_subcommand("merge", "Fold an adapter into its base model");
  command->add_option("BASE", options->base, "GGUF file of the base")->required()->check(CLI::ExistingFile);
  command->add_option("ADAPTER", options->adapter, "PEFT folder, or GGUF adapter")
      ->required()
      ->check(CLI::ExistingPath);
  command->add_option("OUT", options->out, "GGUF file to write")->required();
  command->add_option("--context", options->context, "Window that the result declares (default: the base's)")
      ->check(Between(2, 0x1p32));
  options->output.AddTo(*command);
  command->add_flag("--clip", options->clip,
                    "Replace values too large for F16 or BF16 by the largest that it holds");
  AddRopeOptions(*command, options->rope);
  command->footer(
      "Sums are made in F32 and rounded once, to the base's own float type (F16 where the base is "
      "quantised).\n"
      "An adapter that was trained with other RoPE settings than the base's needs them here too.\n\n"
      "Example:\n  longspan merge base.gguf out/adapter merged.gguf --context 65536 --rope-theta 2000000");
  command->callback([options] { RunMerge(*options); });
}

}  // namespace longspan
