#include "release/eval_texts.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/printable.h"
#include "data/prepare.h"
#include "data/shard_set.h"

namespace longspan {
namespace {

std::optional<Shard> ShardOf(const std::filesystem::path& shards, EvalTexts which) {
  ShardSet set = ShardSet::Open(shards);
  return which == EvalTexts::kHeldOut ? std::move(set.validation) : std::move(set.train);
}

}  // namespace

EvalTextFacts PrepareEvalTexts(std::string_view key, const std::vector<std::filesystem::path>& inputs,
                               const CorpusOptions& options, const TextEncoder& encoder,
                               const std::filesystem::path& out, const std::filesystem::path& work,
                               Progress& progress) {
  PrepareOptions prepare;
  prepare.work = work;
  prepare.corpus = options;
  prepare.append_eos = false;
  CorpusSkips skips;
  try {
    skips = Prepare(inputs, encoder, prepare, out, progress).skips;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kBadOption) throw;
    Fail(ErrorKind::kBadOption, "{}: nothing to measure on in {}{}: {}", key,
         Printable(inputs.front().string(), 400),
         inputs.size() > 1 ? fmt::format(" and {} others", inputs.size() - 1) : "", error.what());
  }
  EvalTextFacts facts = MeasureEvalTexts(out, EvalTexts::kAll);
  if (skips.lost() > 0) {
    facts.skipped = skips.Summary();
    facts.first_skipped = skips.first();
  }
  return facts;
}

std::vector<TokenDocument> ReadEvalTexts(const std::filesystem::path& shards, EvalTexts which) {
  std::vector<TokenDocument> documents;
  const std::optional<Shard> shard = ShardOf(shards, which);
  if (!shard) return documents;
  documents.reserve(shard->documents());
  for (std::int64_t i = 0; i < shard->documents(); ++i) documents.push_back(shard->ReadDocument(i));
  return documents;
}

EvalRecipe EvalWithin(const Recipe& recipe, std::int64_t longest) {
  EvalRecipe eval = recipe.eval;
  const std::int64_t wanted = eval.LongestWindow();
  if (longest < wanted) {
    recipe.places.FailAt(
        wanted == eval.kld.context && wanted > eval.contexts.back() ? "eval.kld.context" : "eval.contexts",
        fmt::format(
            "the longest document to measure on has {} tokens, contexts reach {}; name longer texts in "
            "eval.inputs, or raise data.validation",
            longest, wanted));
  }
  ByPositionRecipe& by_position = eval.by_position;
  if (by_position.documents == 0 || longest >= by_position.max_tokens) return eval;
  if (recipe.places.Given("eval.by_position.max_tokens")) {
    recipe.places.FailAt(
        "eval.by_position.max_tokens",
        fmt::format("the longest document to measure on has {0} tokens; write {0} or less", longest));
  }
  by_position.max_tokens = longest;
  return eval;
}

void CheckRetentionText(const Recipe& recipe, std::size_t at, std::int64_t longest) {
  if (longest >= recipe.context.target) return;
  recipe.places.FailAt(
      "data.retention",
      fmt::format("the longest document of {} has {} tokens, the target is {}; name a longer text",
                  Printable(recipe.data.retention[at]), longest, recipe.context.target));
}

EvalTextFacts MeasureEvalTexts(const std::filesystem::path& shards, EvalTexts which) {
  EvalTextFacts facts;
  const std::optional<Shard> shard = ShardOf(shards, which);
  if (!shard) return facts;
  facts.documents = shard->documents();
  facts.tokens = shard->tokens();
  for (std::int64_t i = 0; i < shard->documents(); ++i)
    facts.longest = std::max(facts.longest, shard->Length(i));
  return facts;
}

}  // namespace longspan
