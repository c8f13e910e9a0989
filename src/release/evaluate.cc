#include "release/evaluate.h"

#include <algorithm>

#include "eval/passkey.h"
#include "eval/perplexity.h"
#include "eval/position_loss.h"
#include "infer/loaded_model.h"

namespace longspan {
namespace {

constexpr std::int64_t kFirstBound = 256;  // end of the first bucket of positions

}  // namespace

BaseFacts FactsOfBase(const std::filesystem::path& file, const std::string& id, const std::string& isa) {
  const LoadedModel base(file, {}, isa);
  const LlamaConfig& c = base.config();
  return {.name = id,
          .file = file.filename().string(),
          .bytes = static_cast<std::int64_t>(std::filesystem::file_size(file)),
          .parameters = c.Parameters(),
          .layers = c.layers,
          .dim = c.dim,
          .heads = c.heads,
          .kv_heads = c.kv_heads,
          .vocab_size = c.vocab_size,
          .context = c.context,
          .rope_theta = c.rope_theta};
}

bool HasControl(const Recipe& recipe) {
  const RopeRecipe& rope = recipe.rope;
  return recipe.eval.control &&
         (rope.scaling != RopeScaling::Kind::kNone || rope.theta || rope.release_theta);
}

std::string RetentionName(const std::vector<std::string>& entries, std::size_t at) {
  const auto last = [](const std::string& entry) {
    const std::size_t end = entry.find_last_not_of('/') + 1;
    return std::filesystem::path(entry.substr(0, end)).filename().string();
  };
  const std::string name = last(entries[at]);
  const bool alone = std::ranges::count(entries, name, last) == 1;
  return alone && !name.empty() ? name : entries[at];
}

std::vector<std::int64_t> RetentionContexts(const Recipe& recipe, std::int64_t base_window) {
  std::vector<std::int64_t> contexts{std::min(base_window, recipe.context.target)};
  if (recipe.context.target > contexts.front()) contexts.push_back(recipe.context.target);
  return contexts;
}

Evaluation Evaluate(const std::filesystem::path& file, const RopeOverride& rope, const EvalDocuments& texts,
                    const EvalRecipe& recipe, const std::string& isa, Progress& progress) {
  const LoadedModel model(file, rope, isa);
  TransformerSequence sequence(model.transformer());
  Evaluation evaluation;
  evaluation.stride = recipe.stride;
  evaluation.max_tokens = recipe.max_tokens;
  evaluation.passkey_seed = recipe.passkey.seed;

  const PerplexityOptions perplexity{
      .contexts = recipe.contexts, .stride = recipe.stride, .max_tokens = recipe.max_tokens};
  const auto measure = [&](std::span<const TokenDocument> documents, const PerplexityOptions& options) {
    std::vector<PerplexityPoint> points;
    for (const PerplexityResult& r : MeasurePerplexity(sequence, documents, model.bos(), options, progress)) {
      points.push_back({r.context, r.perplexity, r.window_perplexity, r.tokens});
    }
    return points;
  };
  evaluation.perplexity = measure(texts.documents, perplexity);
  PerplexityOptions retention = perplexity;
  retention.contexts = texts.retention_contexts;
  retention.as_long_as = texts.retention_reach;
  for (const RetentionDocuments& text : texts.retention)
    evaluation.retention.push_back({text.name, measure(text.documents, retention)});

  const PasskeyOptions passkey{
      .lengths = recipe.passkey.lengths, .depths = recipe.passkey.depths, .trials = recipe.passkey.trials};
  const Passkey prompts(EncoderOf(model.tokenizer()));
  const auto decode = [&](std::span<const std::int32_t> ids) {
    return model.tokenizer().Decode(ids, {.special = false, .continues = true});
  };
  const PasskeyResult found =
      MeasurePasskey(sequence, PasskeyPrompts(prompts, recipe.passkey.seed), decode, passkey, progress);
  for (const PasskeyTally& t : found.tallies) {
    evaluation.passkey.push_back({t.length, t.depth, t.trials, t.found});
  }

  const ByPositionRecipe& by_position = recipe.by_position;
  if (by_position.documents > 0) {
    const PositionLossResult loss = MeasurePositionLoss(
        sequence, texts.documents, model.bos(),
        {.bounds = DoublingBounds(kFirstBound, by_position.max_tokens), .documents = by_position.documents},
        progress);
    evaluation.position_documents = loss.documents;
    for (const PositionLoss& p : loss.buckets)
      evaluation.positions.push_back({p.begin, p.end, p.perplexity, p.standard_error, p.tokens});
  }
  return evaluation;
}

QuantizationFacts CompareQuantized(const std::filesystem::path& file, const std::string& type,
                                   const std::filesystem::path& reference,
                                   std::span<const TokenDocument> documents, const KldOptions& options,
                                   const std::string& isa, Progress& progress) {
  const LoadedModel model(file, {}, isa), reference_model(reference, {}, isa);
  TransformerSequence sequence(model.transformer()), reference_sequence(reference_model.transformer());
  const KldResult r = MeasureKld(sequence, reference_sequence, documents, model.bos(), options, progress);
  std::size_t bytes = 0;
  ForEachTensor(model.transformer().weights(), model.config().tied_embeddings,
                [&](WeightId, const Tensor& t) { bytes += t.bytes().size(); });
  const QuantizationRow row{
      .name = type,
      .file = file.filename().string(),
      .bytes = static_cast<std::int64_t>(std::filesystem::file_size(file)),
      .bits_per_weight = 8.0 * static_cast<double>(bytes) / static_cast<double>(model.config().Parameters()),
      .perplexity = r.perplexity,
      .kld_mean = r.mean,
      .kld_median = r.median,
      .kld_p99 = r.p99,
      .kld_max = r.max,
      .top1 = r.same_top};
  return {.reference = {}, .context = options.context, .tokens = r.tokens, .rows = {row}};
}

}  // namespace longspan
