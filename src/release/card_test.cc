#include "release/card.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include "base/file.h"
#include "base/schema.h"
#include "release/charts.h"
#include "release/markdown.h"
#include "release/testing/sample_measurements.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

Recipe Demo() { return LoadRecipe(std::filesystem::path(LONGSPAN_SOURCE_DIR) / "recipes/demo.yml"); }

YAML::Node FrontMatterOf(const std::string& card) {
  EXPECT_TRUE(card.starts_with("---\n"));
  return YAML::Load(card.substr(4, card.find("\n---\n", 4) - 4));
}

TEST(ModelCard, FrontMatterIsWhatHubsExpect) {
  const YAML::Node front = FrontMatterOf(ModelCard(Demo(), ExampleMeasurements()));
  EXPECT_EQ(front["base_model"].as<std::string>(), "longspan-base");
  EXPECT_EQ(front["license"].as<std::string>(), "apache-2.0");
  EXPECT_EQ(front["library_name"].as<std::string>(), "gguf");
  EXPECT_EQ(front["pipeline_tag"].as<std::string>(), "text-generation");
  EXPECT_EQ(front["language"][0].as<std::string>(), "en");
  EXPECT_THAT(front["tags"].as<std::vector<std::string>>(),
              AllOf(Contains("pose"), Contains("rslora"), Contains("gguf")));
}

TEST(ModelCard, ShowsEveryMeasurement) {
  const Measurements m = ExampleMeasurements();
  const std::string card = ModelCard(Demo(), m);
  for (const std::int64_t number :
       {m.base.parameters, m.base.vocab_size, m.base.context, m.data.documents_kept, m.data.documents_short,
        m.data.documents_long, m.data.documents_duplicate, m.data.tokens, m.data.validation_tokens,
        m.training.steps, m.training.tokens, m.training.trainable_parameters}) {
    EXPECT_THAT(card, HasSubstr(WithCommas(number)));
  }
  for (const auto* evaluation : {&m.before, &m.after}) {
    for (const PerplexityPoint& p : evaluation->perplexity) {
      EXPECT_THAT(card, HasSubstr("| " + WithCommas(p.context) + " |"));
      EXPECT_THAT(card, HasSubstr(fmt::format("{:.{}f}", p.perplexity, p.perplexity < 100 ? 3 : 1)));
      EXPECT_THAT(card, HasSubstr(fmt::format("{:.{}f}", p.window_mean, p.window_mean < 100 ? 3 : 1)));
    }
  }
  for (const QuantizationRow& row : m.quantization.rows) {
    for (const double kld : {row.kld_mean, row.kld_median, row.kld_p99, row.kld_max}) {
      EXPECT_THAT(card, HasSubstr(fmt::format("{:.5f}", kld)));
    }
    EXPECT_THAT(card, HasSubstr(row.file));
    EXPECT_THAT(card, HasSubstr(fmt::format("{:.2f}", row.bits_per_weight)));
    EXPECT_THAT(card, HasSubstr(fmt::format("{:.3f}", row.perplexity)));
    EXPECT_THAT(card, HasSubstr(fmt::format("{:.1f}%", 100 * row.top1)));
  }
  EXPECT_THAT(card, HasSubstr("20/20 → 20/20"));
  EXPECT_THAT(card, HasSubstr("0/20 → 18/20"));
  EXPECT_THAT(card, HasSubstr("3.0% → 96.0%"));
  EXPECT_THAT(card, HasSubstr("5 min 12 s"));  // training
  EXPECT_THAT(card, HasSubstr("7 min 44 s"));  // 463.9 s, the whole job
  EXPECT_THAT(card, HasSubstr("5.64 Wh"));     // 65 W x 312.4 s
  EXPECT_THAT(card, HasSubstr("2.46 g"));      // x 437 g/kWh
  EXPECT_THAT(card, HasSubstr("734.0 MB"));
  EXPECT_THAT(card, HasSubstr("Once upon a time there was a small house"));
  EXPECT_THAT(card, HasSubstr("repetition penalty 1.3"));
  for (const char* plot : {"plots/loss.svg", "plots/perplexity.svg", "plots/passkey.svg"})
    EXPECT_THAT(card, HasSubstr(plot));
  EXPECT_THAT(card, HasSubstr(Demo().text));  // the recipe itself
}

TEST(ModelCard, SaysWhatWasLostBesideItsControl) {
  const std::string card = ModelCard(Demo(), ExampleMeasurements());
  EXPECT_THAT(card, HasSubstr("| novel.txt | 74.120 | 92.450 | 84.060 | 76.310 | 74.870 | 1.010 | 16,384 |"));
  EXPECT_THAT(card, HasSubstr("| 4,096 | 702.8 | 28.940 | 21.050 |"));
  Measurements without = ExampleMeasurements();
  without.scaled = {};
  EXPECT_THAT(ModelCard(Demo(), without),
              HasSubstr("| novel.txt | 74.120 | – | – | 76.310 | 74.870 | 1.010 | 16,384 |"));
}

TEST(ModelCard, ShowsTheHuggingFaceFolderAndHowToLoadIt) {
  const std::string card = ModelCard(Demo(), ExampleMeasurements());
  EXPECT_THAT(card, HasSubstr("its weights in BF16"));
  EXPECT_THAT(card,
              HasSubstr("| [huggingface/model.safetensors](./huggingface/model.safetensors) | 19.8 MB |"));
  EXPECT_THAT(card, HasSubstr("| [huggingface/config.json](./huggingface/config.json) |"));
  EXPECT_THAT(card, HasSubstr("AutoModelForCausalLM.from_pretrained(\"huggingface\""));
}

// The folder can be published alone.
TEST(HuggingFaceCard, IsOneForTransformers) {
  const Measurements m = ExampleMeasurements();
  const std::string card = HuggingFaceCard(Demo(), m.base);
  const YAML::Node front = FrontMatterOf(card);
  EXPECT_EQ(front["library_name"].as<std::string>(), "transformers");
  EXPECT_EQ(front["base_model"].as<std::string>(), "longspan-base");
  EXPECT_EQ(front["license"].as<std::string>(), "apache-2.0");
  EXPECT_THAT(front["tags"].as<std::vector<std::string>>(), AllOf(Contains("pose"), Not(Contains("gguf"))));
  EXPECT_THAT(card, HasSubstr("# longspan-base-4k"));
  EXPECT_THAT(card, HasSubstr("from a context window of 512 tokens to 4,096"));
  EXPECT_THAT(card, HasSubstr("AutoModelForCausalLM.from_pretrained(\".\""));
}

TEST(ModelCard, LeavesOutWhatWasNotMeasured) {
  const std::string card = ModelCard(Demo(), Measurements{});
  for (const char* absent : {"## Perplexity", "## Passkey", "## Files", "## A sample", "loss.svg", "nan",
                             "transformers", "huggingface"}) {
    EXPECT_THAT(card, Not(HasSubstr(absent)));
  }
}

TEST(ModelCard, HostileTextStaysText) {
  Recipe recipe = Demo();
  Measurements m = ExampleMeasurements();
  recipe.base_id = "x\"\nlicense: mit\n---\n<script>";
  m.base.name = "a | b\n<script>";
  m.sample.text = "\n```\n<script>alert(1)</script>\n";
  const std::string card = ModelCard(recipe, m);
  EXPECT_EQ(FrontMatterOf(card)["base_model"].as<std::string>(), recipe.base_id);
  EXPECT_THAT(card, HasSubstr("a \\| b &lt;script&gt;"));
  EXPECT_THAT(card, HasSubstr("\n````text\n"));
}

TEST(ModelCard, ShowsEverySettingThatTheWeightsDependOn) {
  const std::string card = ModelCard(Demo(), ExampleMeasurements());
  EXPECT_THAT(card, HasSubstr("| `train.rank` | 64 | Rank of the adapter |"));
  EXPECT_THAT(card, HasSubstr("| `context.window` | 1,536 tokens | Length of a training example"));
  EXPECT_THAT(card, HasSubstr("| `rope.factor` | target / the base's window |"));
  EXPECT_THAT(card, HasSubstr("| `data.min_tokens` | 512 tokens |"));
  EXPECT_THAT(card, HasSubstr("| `train.echo_share` |"));
  EXPECT_THAT(card, Not(HasSubstr("`train.checkpoint_every`")));
  EXPECT_THAT(card, Not(HasSubstr("`eval.")));
}

// The chunks of Axolotl's variant have equal lengths, unless the recipe says otherwise.
TEST(ModelCard, NamesTheLengthsThatTheVariantHas) {
  const auto lengths = [](const std::string& pose) {
    const auto recipe =
        ParseRecipe("r.yml", "base: {model: b}\ndata: {inputs: t}\ncontext: {target: 64}\npose: {" + pose +
                                 "}\ntrain: {learning_rate: 1, steps: 1}\nrelease: {name: n, license: l}\n");
    return ModelCard(recipe, ExampleMeasurements());
  };
  EXPECT_THAT(lengths("variant: axolotl"), HasSubstr("| `pose.lengths` | equal |"));
  EXPECT_THAT(lengths("variant: axolotl, lengths: random"), HasSubstr("| `pose.lengths` | random |"));
  EXPECT_THAT(lengths("variant: paper"), HasSubstr("| `pose.lengths` | random |"));
  EXPECT_THAT(lengths("enabled: false"), Not(HasSubstr("`pose.lengths`")));
}

TEST(ModelCard, WithoutAnAdapterSaysNothingOfOne) {
  Recipe recipe = Demo();
  recipe.train.adapter = AdapterKind::kFull;
  EXPECT_THAT(ModelCard(recipe, ExampleMeasurements()), Not(HasSubstr("`train.rank`")));
}

TEST(WriteCard, LeavesAFolderThatCanBePublished) {
  TestFolder folder;
  WriteCard(folder.path(), Demo(), ExampleMeasurements());
  for (const char* name : {"plots/loss.svg", "plots/perplexity.svg", "plots/passkey.svg"}) {
    EXPECT_EQ(XmlFault(ReadFile(folder / name)), "") << name;
  }
  EXPECT_THAT(ReadFile(folder / "README.md"), HasSubstr("# longspan-base-4k"));
  if (const char* out = std::getenv("LONGSPAN_TEST_OUT")) WriteCard(out, Demo(), ExampleMeasurements());
}

TEST(Markdown, Escapes) {
  EXPECT_EQ(EscapeMarkdown("a|b*c_<d>\n&"), "a\\|b\\*c\\_&lt;d&gt; &amp;");
  EXPECT_EQ(InlineCode("a`b|c"), "`a'b\\|c`");
  EXPECT_EQ(CodeBlock("x"), "```\nx\n```\n");
  EXPECT_EQ(CodeBlock("````"), "`````\n````\n`````\n");
  const std::string hostile = "q\"uo\\te\n\t: # - \x7f é";
  EXPECT_EQ(YAML::Load(QuoteYaml(hostile)).as<std::string>(), hostile);
}

TEST(MarkdownTable, AlignsNumbersRight) {
  MarkdownTable table({"a", "b"});
  table.Add({"1", "2"});
  EXPECT_EQ(table.text(), "| a | b |\n|---|--:|\n| 1 | 2 |\n");
}

}  // namespace
}  // namespace longspan
