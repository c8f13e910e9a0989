#include "release/card.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "base/file.h"
#include "release/charts.h"
#include "release/markdown.h"
#include "release/plots.h"
#include "release/recipe/idle_keys.h"
#include "release/recipe/recipe_keys.h"

namespace longspan {
namespace {

std::string Duration(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const std::int64_t total = std::llround(seconds);
  if (total < 3600) return fmt::format("{} min {:02} s", total / 60, total % 60);
  return fmt::format("{} h {:02} min", WithCommas(total / 3600), total / 60 % 60);
}

std::string Bytes(std::int64_t bytes) {
  const double size = static_cast<double>(bytes);
  return size >= 1e9 ? fmt::format("{:.2f} GB", size / 1e9) : fmt::format("{:.1f} MB", size / 1e6);
}

std::string Perplexity(double value) {
  if (!std::isfinite(value)) return "not finite";
  return value >= 1e4 ? fmt::format("{:.2e}", value) : fmt::format("{:.{}f}", value, value < 100 ? 3 : 1);
}

std::string Percent(double share) { return fmt::format("{:.1f}%", 100 * share); }

std::string Energy(double kwh) {
  return kwh < 1 ? fmt::format("{:.2f} Wh", kwh * 1e3) : fmt::format("{:.2f} kWh", kwh);
}

std::string Co2(double grams) {
  return grams < 1e3 ? fmt::format("{:.2f} g", grams) : fmt::format("{:.2f} kg", grams / 1e3);
}

const PerplexityPoint* FindContext(const Evaluation& evaluation, std::int64_t context) {
  const auto found = std::ranges::find(evaluation.perplexity, context, &PerplexityPoint::context);
  return found == evaluation.perplexity.end() ? nullptr : &*found;
}

std::string FrontMatter(const Recipe& recipe, const std::string& library) {
  std::vector<std::string> tags = {library, "llama", "long-context"};
  if (recipe.pose.enabled) tags.push_back("pose");
  if (recipe.train.adapter != AdapterKind::kFull) tags.emplace_back(Name(recipe.train.adapter));
  for (const std::string& tag : recipe.release.tags) {
    if (std::ranges::find(tags, tag) == tags.end()) tags.push_back(tag);
  }
  std::string text = "---\n";
  const auto scalar = [&](std::string_view key, std::string_view value) {
    text += fmt::format("{}: {}\n", key, QuoteYaml(value));
  };
  const auto list = [&](std::string_view key, const std::vector<std::string>& values) {
    if (values.empty()) return;
    text += fmt::format("{}:\n", key);
    for (const std::string& value : values) text += fmt::format("- {}\n", QuoteYaml(value));
  };
  scalar("base_model", recipe.base_id);
  list("language", recipe.release.language);
  scalar("license", recipe.release.license);
  scalar("library_name", library);
  scalar("pipeline_tag", "text-generation");
  list("tags", tags);
  return text + "---\n\n";
}

// What the model is, as a heading and the beginning of a sentence.
std::string Heading(const Recipe& recipe, const BaseFacts& base) {
  return fmt::format("# {}\n\n{}, stretched from a context window of {} tokens to {} by {}, with longspan",
                     EscapeMarkdown(recipe.release.name), EscapeMarkdown(recipe.base_id),
                     WithCommas(base.context), WithCommas(recipe.context.target),
                     recipe.pose.enabled ? "continued training with PoSE positions" : "continued training");
}

std::string Opening(const Recipe& recipe, const Measurements& m) {
  std::string text = fmt::format("{} {}.\n\n", Heading(recipe, m.base), EscapeMarkdown(m.longspan_version));
  const PerplexityPoint* native = FindContext(m.before, m.base.context);
  const PerplexityPoint* before = FindContext(m.before, recipe.context.target);
  const PerplexityPoint* after = FindContext(m.after, recipe.context.target);
  const auto keys_before = PasskeyShare(m.before.passkey, recipe.context.target);
  const auto keys_after = PasskeyShare(m.after.passkey, recipe.context.target);
  if (!before && !keys_before) return text;
  MarkdownTable table({fmt::format("at {} tokens", WithCommas(recipe.context.target)), "before",
                       "scaled, untrained", "after"});
  const PerplexityPoint* scaled = FindContext(m.scaled, recipe.context.target);
  if (before && after) {
    table.Add({"perplexity", Perplexity(before->perplexity), scaled ? Perplexity(scaled->perplexity) : "–",
               Perplexity(after->perplexity)});
  }
  if (keys_before && keys_after) {
    const auto keys_scaled = PasskeyShare(m.scaled.passkey, recipe.context.target);
    table.Add({"passkeys found", Percent(*keys_before), keys_scaled ? Percent(*keys_scaled) : "–",
               Percent(*keys_after)});
  }
  text += table.text() + "\n";
  if (native) {
    text +=
        fmt::format("For comparison: the base's perplexity inside its own window, at {} tokens, is {}.\n\n",
                    WithCommas(native->context), Perplexity(native->perplexity));
  }
  return text;
}

// What the stretch cost on text of kinds that the base knows.
std::string KeptSection(const Measurements& m) {
  const std::vector<KeptText> kept = KeptTexts(m);
  if (kept.empty()) return {};
  const std::string base = WithCommas(kept.front().base_context), target = WithCommas(kept.front().target);
  MarkdownTable table({"text", "base at " + base, "scaled, untrained, at " + base, "at " + target,
                       "after at " + base, "at " + target, "after / base", "tokens scored"});
  const auto known = [](const std::optional<double>& value) {
    return value ? Perplexity(*value) : std::string("–");
  };
  for (const KeptText& text : kept) {
    table.Add({EscapeMarkdown(text.name), Perplexity(text.before), known(text.scaled_short),
               known(text.scaled), Perplexity(text.after_short), Perplexity(text.after),
               fmt::format("{:.3f}", text.Ratio()), WithCommas(text.tokens)});
  }
  return fmt::format(
      "## What was kept\n\n{}\nPerplexity of texts that nothing was trained on here, of kinds that the base "
      "knows; every column scores the same tokens. After / base is the result at {} tokens over the base in "
      "its "
      "own window: above 1, the longer window cost more than it gave. Scaled, untrained: the base with the "
      "RoPE "
      "of the release.\n\n",
      table.text(), target);
}

std::string Facts(const Measurements& m) {
  MarkdownTable table({"", ""}, 2);
  table.Add(
      {"base",
       fmt::format("{}: {} parameters, {} layers, width {}, {} heads over {} KV heads, vocabulary {}",
                   EscapeMarkdown(m.base.name), WithCommas(m.base.parameters), m.base.layers,
                   WithCommas(m.base.dim), m.base.heads, m.base.kv_heads, WithCommas(m.base.vocab_size))});
  table.Add({"its window", fmt::format("{} tokens, rope theta {}", WithCommas(m.base.context),
                                       WithCommas(std::llround(m.base.rope_theta)))});
  table.Add({"trainable parameters", WithCommas(m.training.trainable_parameters)});
  if (m.training.adapter_scale > 0)
    table.Add({"the adapter's scale", fmt::format("{:.4g}", m.training.adapter_scale)});
  std::string sources;
  for (const std::string& source : m.data.sources)
    sources += (sources.empty() ? "" : ", ") + InlineCode(source);
  table.Add({"data", fmt::format("{} documents, {} tokens{}{}", WithCommas(m.data.documents_kept),
                                 WithCommas(m.data.tokens), sources.empty() ? "" : ", from ", sources)});
  table.Add(
      {"data left out",
       fmt::format("{} documents too short, {} too long, {} duplicates", WithCommas(m.data.documents_short),
                   WithCommas(m.data.documents_long), WithCommas(m.data.documents_duplicate))});
  table.Add({"data held out", WithCommas(m.data.validation_tokens) + " tokens"});
  return table.text();
}

// A key's value as people read it: counts with commas, and words where nothing was given.
std::string ShownValue(const KeyValue& key) {
  if (!key.allowed && !key.key.otherwise.empty()) return EscapeMarkdown(key.key.otherwise);
  std::string text = YamlText(key);
  if (key.key.unit.empty()) return EscapeMarkdown(text);
  std::int64_t number = 0;
  const std::string& value = key.values.front();
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (!key.is_list && error == std::errc() && end == value.data() + value.size()) text = WithCommas(number);
  return fmt::format("{} {}", EscapeMarkdown(text), key.key.unit);
}

// Every key that the weights depend on.
std::string Settings(const Recipe& recipe, const Measurements& m) {
  constexpr unsigned shown = kPrepareStage | kTrainStage | kMergeStage;
  MarkdownTable table({"setting", "value", "what it is"}, 3);
  const std::vector<IdleKey> idle = IdleKeys(recipe);
  for (const KeyValue& key : ListKeys(recipe).keys) {
    const bool of_new = key.name.starts_with("base.new.");
    if ((key.key.changes & shown) == 0 || of_new || IsIdle(idle, key.name)) continue;
    if (key.values.empty() && key.key.otherwise.empty()) continue;
    if (key.name == "release.name" || (key.key.ignored & kForExtend) != 0) continue;
    table.Add({InlineCode(key.name), ShownValue(key), EscapeMarkdown(key.key.help)});
  }
  return "## What was done\n\n" + Facts(m) + "\n" + table.text() + "\n";
}

std::string PerplexitySection(const Measurements& m) {
  std::set<std::int64_t> contexts;
  for (const auto* evaluation : {&m.before, &m.after}) {
    for (const PerplexityPoint& p : evaluation->perplexity) contexts.insert(p.context);
  }
  if (contexts.empty()) return {};
  const auto shown = [](const PerplexityPoint* p) {
    return p ? Perplexity(p->perplexity) : std::string("–");
  };
  std::string text =
      "## Perplexity by context\n\n![Perplexity against context length](plots/perplexity.svg)\n\n";
  MarkdownTable table({"context", "before", "scaled, untrained", "after", "before, mean over windows",
                       "after, mean over windows", "tokens scored"},
                      0);
  for (const std::int64_t context : contexts) {
    const PerplexityPoint* before = FindContext(m.before, context);
    const PerplexityPoint* after = FindContext(m.after, context);
    table.Add({WithCommas(context), shown(before), shown(FindContext(m.scaled, context)), shown(after),
               before ? Perplexity(before->window_mean) : "–", after ? Perplexity(after->window_mean) : "–",
               WithCommas((after ? after : before)->tokens)});
  }
  text += table.text();
  return text +
         fmt::format(
             "\nSliding windows with a stride of {} tokens over {}. The first three columns are exp(total "
             "negative log-likelihood / tokens); the next two the exp of the mean over "
             "windows. Before: {}; after: {}.\n\n",
             WithCommas(m.after.stride), EscapeMarkdown(m.after.text), InlineCode(m.before.file),
             InlineCode(m.after.file));
}

std::string PositionSection(const Measurements& m) {
  if (m.after.positions.empty()) return {};
  MarkdownTable table({"tokens before", "before", "after", "±", "tokens"}, 0);
  for (const PositionPoint& after : m.after.positions) {
    const auto before = std::ranges::find_if(m.before.positions, [&](const PositionPoint& p) {
      return p.begin == after.begin && p.end == after.end;
    });
    table.Add({fmt::format("{} – {}", WithCommas(after.begin), WithCommas(after.end - 1)),
               before == m.before.positions.end() ? "–" : Perplexity(before->perplexity),
               Perplexity(after.perplexity), Perplexity(after.standard_error), WithCommas(after.tokens)});
  }
  return fmt::format(
      "## Perplexity by position\n\n{}\nOne pass over each of {} documents of the same text: how well a "
      "token "
      "is predicted, by how much text stands before it.\n\n",
      table.text(), WithCommas(m.after.position_documents));
}

std::string PasskeySection(const Measurements& m) {
  std::set<std::int64_t> lengths;
  std::set<double> depths;
  std::map<std::pair<std::int64_t, double>, const PasskeyCell*> before, after;
  for (auto [cells, index] : {std::pair{&m.before.passkey, &before}, std::pair{&m.after.passkey, &after}}) {
    for (const PasskeyCell& cell : *cells) {
      lengths.insert(cell.length);
      depths.insert(cell.depth);
      (*index)[{cell.length, cell.depth}] = &cell;
    }
  }
  if (lengths.empty()) return {};
  std::string text =
      "## Passkey by length and depth\n\n![Passkey retrieval before and after](plots/passkey.svg)\n\n";
  std::vector<std::string> header = {"length"};
  for (const double depth : depths) header.push_back(fmt::format("depth {:.0f}%", 100 * depth));
  header.push_back("all, before → after");
  header.emplace_back("all, scaled, untrained");
  MarkdownTable table(header, 0);
  for (const std::int64_t length : lengths) {
    std::vector<std::string> row = {WithCommas(length)};
    const auto score = [&](const auto& index, double depth) {
      const auto found = index.find({length, depth});
      return found == index.end() ? std::string("–")
                                  : fmt::format("{}/{}", found->second->solved, found->second->trials);
    };
    for (const double depth : depths)
      row.push_back(fmt::format("{} → {}", score(before, depth), score(after, depth)));
    const auto all_before = PasskeyShare(m.before.passkey, length),
               all_after = PasskeyShare(m.after.passkey, length);
    row.push_back(fmt::format("{} → {}", all_before ? Percent(*all_before) : "–",
                              all_after ? Percent(*all_after) : "–"));
    const auto all_scaled = PasskeyShare(m.scaled.passkey, length);
    row.push_back(all_scaled ? Percent(*all_scaled) : "–");
    table.Add(row);
  }
  return text + table.text() +
         "\nTrials solved before → after. A random number is hidden in filler text at the given depth (0% is "
         "the start of the prompt); the model continues greedily, and the first number it writes must be "
         "the hidden one.\n\n";
}

std::string QuantizationSection(const Measurements& m) {
  const QuantizationFacts& q = m.quantization;
  if (q.rows.empty()) return {};
  MarkdownTable table({"type", "file", "size", "bits per weight", "perplexity", "KL divergence", "median",
                       "99%", "max", "top-1 agrees"},
                      2);
  for (const QuantizationRow& row : q.rows) {
    const auto kld = [](double value) { return fmt::format("{:.5f}", value); };
    table.Add({EscapeMarkdown(row.name), fmt::format("[{}](./{})", EscapeMarkdown(row.file), row.file),
               Bytes(row.bytes), fmt::format("{:.2f}", row.bits_per_weight), Perplexity(row.perplexity),
               kld(row.kld_mean), kld(row.kld_median), kld(row.kld_p99), kld(row.kld_max),
               Percent(row.top1)});
  }
  return fmt::format(
      "## Files\n\n{}\nKL divergence from {}, in nats a token, over {} tokens at a context of {}; "
      "perplexity on the same tokens. `SHA256SUMS` lists every file's digest.\n\n",
      table.text(), EscapeMarkdown(q.reference), WithCommas(q.tokens), WithCommas(q.context));
}

std::string HuggingFaceSection(const Measurements& m) {
  if (m.huggingface.files.empty()) return {};
  MarkdownTable table({"file", "size"});
  for (const HuggingFaceFile& file : m.huggingface.files)
    table.Add({fmt::format("[{}](./{})", EscapeMarkdown(file.name), file.name), Bytes(file.bytes)});
  return fmt::format("The merged model for transformers, its weights in {}:\n\n{}\n",
                     EscapeMarkdown(m.huggingface.type), table.text());
}

std::string CostSection(const Measurements& m) {
  const TrainingFacts& t = m.training;
  std::string text = "## What it cost\n\n";
  if (!t.points.empty()) text += "![Loss during training](plots/loss.svg)\n\n";
  MarkdownTable table({"", "training", "whole job"});
  const double total = m.TotalSeconds();
  table.Add({"time", Duration(t.seconds), Duration(total)});
  table.Add({"energy", Energy(m.energy.KilowattHours(t.seconds)), Energy(m.energy.KilowattHours(total))});
  table.Add({"CO2", Co2(m.energy.GramsCo2(t.seconds)), Co2(m.energy.GramsCo2(total))});
  text += table.text();
  text += fmt::format(
      "\n{} steps over {} tokens, at {:.0f} tokens a second, on {} with {} threads; {} of memory at most.",
      WithCommas(t.steps), WithCommas(t.tokens),
      t.seconds > 0 ? static_cast<double>(t.tokens) / t.seconds : 0, EscapeMarkdown(t.processor), t.threads,
      Bytes(t.peak_memory_bytes));
  if (t.skipped > 0) {
    text += fmt::format(" {} of the steps {} left out, because they would have harmed the model.",
                        WithCommas(t.skipped), t.skipped == 1 ? "was" : "were");
  }
  if (!t.points.empty()) {
    const auto known = [](const TrainingPoint& p) { return std::isfinite(p.loss); };
    const auto first = std::ranges::find_if(t.points, known);
    const auto latest = std::find_if(t.points.rbegin(), t.points.rend(), known);
    if (first != t.points.end())
      text += fmt::format(" Training loss went from {:.3f} to {:.3f}", first->loss, latest->loss);
    const auto last = std::find_if(t.points.rbegin(), t.points.rend(),
                                   [](const TrainingPoint& p) { return p.validation.has_value(); });
    if (last != t.points.rend())
      text +=
          fmt::format(", validation loss was {:.3f} at step {}", *last->validation, WithCommas(last->step));
    text += ".";
  }
  text += fmt::format(
      "\n\nEnergy is power × time, not metered: {:g} W ({}). CO2 is energy × grid intensity: {:g} g/kWh "
      "({}).\n\n",
      m.energy.power_watts, EscapeMarkdown(m.energy.power_source), m.energy.grid_g_per_kwh,
      EscapeMarkdown(m.energy.grid_source));
  MarkdownTable stages({"stage", "time"});
  for (const StageTime& stage : m.stages) stages.Add({EscapeMarkdown(stage.name), Duration(stage.seconds)});
  return m.stages.empty() ? text : text + stages.text() + "\n";
}

// How transformers loads the model in `folder`.
std::string TransformersCode(const std::string& folder) {
  return CodeBlock(fmt::format("from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
                               "tokenizer = AutoTokenizer.from_pretrained(\"{0}\")\n"
                               "model = AutoModelForCausalLM.from_pretrained(\"{0}\", torch_dtype=\"auto\")\n"
                               "inputs = tokenizer(open(\"long-prompt.txt\").read(), return_tensors=\"pt\")\n"
                               "tokens = model.generate(**inputs, max_new_tokens=200)\n"
                               "print(tokenizer.decode(tokens[0], skip_special_tokens=True))",
                               folder),
                   "python");
}

std::string Usage(const Recipe& recipe, const Measurements& m) {
  const std::string file =
      m.quantization.rows.empty() ? recipe.release.name + ".gguf" : m.quantization.rows.back().file;
  const std::int64_t window = recipe.context.release > 0 ? recipe.context.release : recipe.context.target;
  return "## How to run it\n\nWith longspan:\n\n" +
         CodeBlock(fmt::format("longspan run {} --file long-prompt.txt --temperature 0.7", file), "sh") +
         "\nWith llama.cpp, which reads the window and the RoPE settings from the file:\n\n" +
         CodeBlock(fmt::format("llama-cli -m {} -c {} -f long-prompt.txt -no-cnv", file, window), "sh") +
         (m.huggingface.files.empty() ? ""
                                      : "\nWith transformers, which reads them from config.json:\n\n" +
                                            TransformersCode("huggingface")) +
         "\nIt continues text; it was not trained to follow instructions.\n\n";
}

std::string SampleSection(const Measurements& m) {
  if (m.sample.text.empty()) return {};
  return fmt::format(
      "## A sample\n\nWritten by {} at temperature {:g}, repetition penalty {:g}, seed {}, after the "
      "prompt {}:\n\n{}\n",
      InlineCode(m.sample.file), m.sample.temperature, m.sample.repeat_penalty, m.sample.seed,
      InlineCode(m.sample.prompt), CodeBlock(m.sample.prompt + m.sample.text, "text"));
}

// The most tokens that anything was measured on.
std::int64_t LongestMeasured(const Measurements& m) {
  std::int64_t longest = m.quantization.rows.empty() ? 0 : m.quantization.context;
  for (const PerplexityPoint& p : m.after.perplexity) longest = std::max(longest, p.context);
  for (const PasskeyCell& cell : m.after.passkey) longest = std::max(longest, cell.length);
  return longest;
}

std::string Limits(const Recipe& recipe, const Measurements& m) {
  std::string text = "## Limits\n\n";
  text +=
      "- Perplexity and passkeys measure that distant text is reachable, not that it is understood; no task "
      "suite was run.\n";
  if (!m.after.passkey.empty()) {
    text += fmt::format(
        "- Each passkey cell holds few trials ({}), so a difference of one or two trials is noise.\n",
        m.after.passkey.front().trials);
  }
  if (recipe.train.retrieval_share > 0) {
    text += fmt::format(
        "- {} of the training examples hid a passkey, drawn with other seeds than the test's: the passkey "
        "figures show reach, and less of general skill than they would without.\n",
        Percent(recipe.train.retrieval_share));
  }
  text += fmt::format("- Nothing beyond {} tokens was measured.\n", WithCommas(LongestMeasured(m)));
  text += "- What the base model gets wrong, and the bias in what it was trained on, remain.\n";
  return text + "\n";
}

}  // namespace

std::string ModelCard(const Recipe& recipe, const Measurements& m) {
  return FrontMatter(recipe, "gguf") + Opening(recipe, m) + KeptSection(m) + PerplexitySection(m) +
         PositionSection(m) + PasskeySection(m) + QuantizationSection(m) + HuggingFaceSection(m) +
         Usage(recipe, m) + SampleSection(m) + Settings(recipe, m) + "\n" + CostSection(m) +
         Limits(recipe, m) +
         fmt::format(
             "## Reproduction\n\nSave as {} and run `longspan extend {}`; the same seeds give the same "
             "weights "
             "on the same machine.\n\n",
             InlineCode(recipe.file.filename().string()), recipe.file.filename().string()) +
         CodeBlock(recipe.text, "yaml");
}

std::string HuggingFaceCard(const Recipe& recipe, const BaseFacts& base) {
  return FrontMatter(recipe, "transformers") + Heading(recipe, base) +
         ".\n\n## How to run it\n\nIn this folder:\n\n" + TransformersCode(".") +
         "\nIt continues text; it was not trained to follow instructions.\n";
}

void WriteCard(const std::filesystem::path& folder, const Recipe& recipe, const Measurements& m) {
  WriteFile(folder / "plots" / "loss.svg", LossPlot(m.training));
  WriteFile(folder / "plots" / "perplexity.svg", PerplexityPlot(m));
  WriteFile(folder / "plots" / "passkey.svg", PasskeyPlot(m));
  WriteFile(folder / "README.md", ModelCard(recipe, m));
}

}  // namespace longspan
