#include "release/extend.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/open_watch.h"
#include "data/examples.h"
#include "data/shard_set.h"
#include "formats/gguf_shards.h"
#include "formats/llama_gguf.h"
#include "formats/peft.h"
#include "infer/loaded_model.h"
#include "release/checksums.h"
#include "release/eval_texts.h"
#include "release/evaluate.h"
#include "release/testing/small_job.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class ExtendTest : public SmallJob {
 protected:
  // Of the first rows that Run trains on, the tokens that only fill them up.
  std::int64_t Padding(std::int64_t rows) const {
    const Recipe recipe = LoadRecipe(folder_ / "recipe.yml");
    const LoadedModel base(folder_ / "tiny.gguf", {}, "auto");
    ExampleOptions options;
    options.length = base.config().context;
    options.pose = recipe.pose.options;
    options.retrieval_share = recipe.train.retrieval_share;
    options.seed = recipe.train.seed;
    return Examples(ShardSet::Open(folder_ / "out.work/shards").train, options, EncoderOf(base.tokenizer()))
        .Make(0, rows)
        .padding;
  }
};

TEST_F(ExtendTest, MakesAReleaseFolder) {
  const Measurements m = Run();
  const fs::path out = folder_ / "out";
  for (const char* file :
       {"README.md", "SHA256SUMS", "tiny-384-F16.gguf", "tiny-384-Q8_0.gguf", "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors", "plots/loss.svg", "plots/perplexity.svg", "plots/passkey.svg"}) {
    EXPECT_TRUE(fs::is_regular_file(out / file)) << file;
  }
  EXPECT_TRUE(VerifyChecksums(out).empty());
  const std::string card = ReadFile(out / "README.md");
  EXPECT_THAT(card, HasSubstr("tiny-384-Q8_0.gguf"));
  EXPECT_THAT(card, HasSubstr("apache-2.0"));

  EXPECT_EQ(m.data.documents_kept, 10);
  EXPECT_EQ(m.training.steps, 6);
  EXPECT_EQ(m.training.tokens, 6 * 2 * 192 - Padding(6 * 2));
  EXPECT_EQ(m.training.points.size(), 6u);
  EXPECT_EQ(m.training.adapter_scale, 2);
  ASSERT_EQ(m.after.perplexity.size(), 2u);
  EXPECT_EQ(m.before.perplexity[0].tokens, m.after.perplexity[0].tokens);
  // A random model knows nothing: every token is about as likely as any other.
  EXPECT_NEAR(m.before.perplexity[0].perplexity, static_cast<double>(m.base.vocab_size),
              0.1 * static_cast<double>(m.base.vocab_size));
  EXPECT_LT(m.after.perplexity[0].perplexity, m.before.perplexity[0].perplexity);
  EXPECT_EQ(m.after.passkey.size(), 4u);
  ASSERT_EQ(m.quantization.rows.size(), 2u);
  EXPECT_EQ(m.quantization.rows[0].kld_mean, 0);  // F16 of an F16 model is the model
  EXPECT_GT(m.quantization.rows[1].kld_mean, 0);
  EXPECT_LT(m.quantization.rows[1].kld_mean, 1e-2);
  EXPECT_FALSE(m.sample.text.empty());
  EXPECT_GT(m.TotalSeconds(), 0);

  const ModelFile model = LoadModel(out / "tiny-384-Q8_0.gguf");
  EXPECT_EQ(model.config.context, 384);
  EXPECT_EQ(model.config.name, "tiny-384");
  EXPECT_EQ(model.weights.layers[0].q.type(), Type::kQ8_0);
  EXPECT_EQ(ReadPeft(out / "adapter", model.config).pairs.size(), 4u);
}

TEST_F(ExtendTest, DoesNothingTwice) {
  Run();
  auto before = Times();
  // Everything except the small JSON files in which the job keeps its records.
  std::vector<fs::path> files{folder_ / "tiny.gguf"};
  for (int i = 0; i < 10; ++i) files.push_back(folder_ / fmt::format("texts/{}.txt", i));
  for (const auto& [file, time] : before) {
    if (!file.ends_with(".json") && !file.ends_with(".sqlite3") && !file.ends_with(".lock"))
      files.push_back(folder_ / file);
  }
  const OpenWatch watch(files);
  Run();
  EXPECT_THAT(watch.Opened(), testing::IsEmpty());
  auto after = Times();
  for (auto* times : {&before, &after}) times->erase("out.work/.lock");  // says who holds it
  EXPECT_EQ(after, before);
  ReadFile(folder_ / "tiny.gguf");
  EXPECT_EQ(watch.Opened().size(), 1u);  // the watch itself works
}

TEST_F(ExtendTest, TouchesNothingThatItDidNotMake) {
  WriteFile(folder_ / "out/tiny-384-Q2_K.gguf", "a model from elsewhere");
  WriteFile(folder_ / "out/notes/a.txt", "notes");
  EXPECT_THAT(ErrorOf([&] { Run(); }), HasSubstr("tiny-384-Q2_K.gguf"));
  EXPECT_FALSE(fs::exists(folder_ / "out.work/shards"));  // before any work

  options_.outputs.keep_foreign = true;
  Run();
  EXPECT_EQ(ReadFile(folder_ / "out/tiny-384-Q2_K.gguf"), "a model from elsewhere");
  EXPECT_EQ(ReadFile(folder_ / "out/notes/a.txt"), "notes");
  const std::string sums = ReadFile(folder_ / "out/SHA256SUMS");
  EXPECT_EQ(std::ranges::count(sums, '\n'), 8);  // two models, card, three plots, two files of the adapter
  EXPECT_THAT(sums, testing::Not(HasSubstr("Q2_K")));
  EXPECT_THAT(sums, testing::Not(HasSubstr("notes")));
}

TEST_F(ExtendTest, RemovesOnlyTheTypesThatItMadeItself) {
  Run();
  WriteFile(folder_ / "out/tiny-384-Q2_K.gguf", "a model from elsewhere");
  types_ = "Q8_0";
  options_.outputs.keep_foreign = true;
  Run();
  EXPECT_FALSE(fs::exists(folder_ / "out/tiny-384-F16.gguf"));
  EXPECT_EQ(ReadFile(folder_ / "out/tiny-384-Q2_K.gguf"), "a model from elsewhere");
  EXPECT_THAT(ReadFile(folder_ / "out/SHA256SUMS"), testing::Not(HasSubstr("F16")));
  EXPECT_TRUE(VerifyChecksums(folder_ / "out").empty());
}

TEST_F(ExtendTest, ACardEditedByHandIsKeptUntilForced) {
  Run();
  WriteFile(folder_ / "out/README.md", "written by hand");
  EXPECT_THAT(ErrorOf([&] { Run(); }), HasSubstr("README.md"));
  EXPECT_EQ(ReadFile(folder_ / "out/README.md"), "written by hand");
  options_.outputs.force = true;
  Run();
  EXPECT_THAT(ReadFile(folder_ / "out/README.md"), HasSubstr("tiny-384"));
  EXPECT_TRUE(VerifyChecksums(folder_ / "out").empty());
}

TEST_F(ExtendTest, AnInputIsNeverAnOutput) {
  fs::create_directories(folder_ / "texts/out");
  for (const char* out : {".", "texts", "texts/out", "texts/out/.", "./"}) {
    EXPECT_EQ(KindOf([&] { Run("1e-3", out); }), ErrorKind::kInvalidFile) << out;
  }
  EXPECT_TRUE(fs::is_empty(folder_ / "texts/out"));
  EXPECT_FALSE(fs::exists(folder_ / "texts/out.work"));
  EXPECT_TRUE(fs::exists(folder_ / "tiny.gguf"));
}

TEST_F(ExtendTest, TheNameOfTheFolderMayEndInASlash) {
  Run("1e-3", "out/");
  EXPECT_TRUE(VerifyChecksums(folder_ / "out").empty());
  EXPECT_TRUE(fs::exists(folder_ / "out.work/stages.json"));
}

// The recipe's own texts are read from the field that data.text_field names. Each run says what is wrong with
// them.
TEST_F(ExtendTest, EvalInputsObeyTheTextField) {
  std::string lines;
  for (std::uint64_t i = 20; i < 23; ++i) lines += fmt::format("{{\"body\": \"{}\"}}\n", Story(i, 80));
  WriteFile(folder_ / "own.jsonl", lines + "{\"text\": \"no body\"}\n");
  eval_ = "inputs: [own.jsonl]";
  data_ = "text_field: body";
  for (int i = 0; i < 2; ++i) {
    Listener listener;
    Run("1e-3", "out", listener);
    EXPECT_THAT(listener.lines, HasSubstr("eval.inputs: 1 line could not be used"));
    EXPECT_THAT(listener.lines, HasSubstr("own.jsonl:4"));
  }
  EXPECT_EQ(ReadEvalTexts(folder_ / "out.work/eval-texts", EvalTexts::kAll).size(), 3u);
}

// What the base knows is measured before and after, beside the base with the released RoPE alone.
TEST_F(ExtendTest, TellsWhatWasKeptBesideItsControl) {
  WriteFile(folder_ / "known.txt", Story(30, 120));
  WriteFile(folder_ / "more/a.txt", Story(31, 90));
  EXPECT_EQ(RetentionName({"a/x.txt", "b/y.txt/"}, 0), "x.txt");
  EXPECT_EQ(RetentionName({"a/x.txt", "b/y.txt/"}, 1), "y.txt");
  EXPECT_EQ(RetentionName({"a/x.txt", "b/x.txt"}, 1), "b/x.txt");
  EXPECT_EQ(RetentionName({"/"}, 0), "/");
  data_ = "retention: [known.txt, more]";
  rope_ = "scaling: yarn";
  const Measurements without = [&] {
    eval_ = "control: false";
    return Run();
  }();
  EXPECT_TRUE(without.scaled.perplexity.empty());
  eval_ = "control: true";
  const Measurements m = Run();
  EXPECT_EQ(m.scaled.perplexity.size(), 2u);
  EXPECT_EQ(m.scaled.passkey.size(), m.before.passkey.size());
  const std::vector<KeptText> kept = KeptTexts(m);
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[0].name, "known.txt");
  EXPECT_EQ(kept[1].name, "more");
  for (const KeptText& text : kept) {
    EXPECT_EQ(text.base_context, 192);
    EXPECT_EQ(text.target, 384);
    EXPECT_EQ(text.tokens, 256);
    EXPECT_LT(text.after, text.before) << "trained on such sentences, from random weights";
    ASSERT_TRUE(text.scaled.has_value());
    EXPECT_GT(*text.scaled, text.after);
  }
  EXPECT_THAT(ReadFile(folder_ / "out/README.md"), HasSubstr("| known.txt | "));
  // Without training, the base with the released RoPE is another model than the base.
  EXPECT_NE(m.scaled.perplexity[1].perplexity, m.before.perplexity[1].perplexity);

  data_ = "retention: [short.txt]";
  WriteFile(folder_ / "short.txt", Story(32, 3));
  EXPECT_THAT(ErrorOf([&] { Run(); }),
              AllOf(HasSubstr("recipe.yml:6: data.retention: the longest document of short.txt has "),
                    HasSubstr("the target is 384; name a longer text")));
}

TEST_F(ExtendTest, ALinkThatLeadsNowhereIsNamed) {
  fs::create_symlink("absent", folder_ / "texts/dangling.txt");
  Run();  // within a folder, a broken link is skipped
  fs::create_symlink("absent", folder_ / "dangling");
  data_ = "text_field: text\n  packages: []";
  const std::string recipe = ReadFile(folder_ / "recipe.yml");
  for (const auto& [from, to] : {std::pair{"inputs: [texts]", "inputs: [dangling]"},
                                 std::pair{"model: tiny.gguf", "model: dangling"}}) {
    std::string text = recipe;
    text.replace(text.find(from), std::string_view(from).size(), to);
    WriteFile(folder_ / "recipe.yml", text);
    EXPECT_EQ(KindOf([&] { Extend(LoadRecipe(folder_ / "recipe.yml"), options_, NoProgress()); }),
              ErrorKind::kInvalidFile)
        << to;
  }
}

TEST_F(ExtendTest, WhatTheSystemRefusesIsNoInternalError) {
  Run();
  fs::remove_all(folder_ / "out.work/scratch");
  WriteFile(folder_ / "out.work/scratch", "a file where a folder must be");
  EXPECT_EQ(KindOf([&] { Run("2e-3"); }), ErrorKind::kIo);
}

TEST_F(ExtendTest, AnotherLearningRateTrainsAgainButPreparesNothing) {
  Run();
  const auto before = Times();
  const std::string sums = ReadFile(folder_ / "out/SHA256SUMS");
  Run("2e-3");
  const auto after = Times();
  for (const char* file :
       {"out.work/shards/train.lsd", "out.work/data.json", "out.work/evaluate-base.json"}) {
    EXPECT_EQ(after.at(file), before.at(file)) << file;
  }
  for (const char* file : {"out.work/adapter/adapter_model.safetensors", "out.work/merged.gguf",
                           "out/tiny-384-Q8_0.gguf", "out.work/evaluate-result.json"}) {
    EXPECT_GT(after.at(file), before.at(file)) << file;
  }
  EXPECT_NE(ReadFile(folder_ / "out/SHA256SUMS"), sums);
  EXPECT_TRUE(VerifyChecksums(folder_ / "out").empty());
}

// Only the first shard is named, and all of them are the base.
TEST_F(ExtendTest, AChangedShardOfTheBaseIsNoticed) {
  const auto shards =
      WriteGgufShards(*GgufFile::Open(folder_ / "tiny.gguf"), folder_.path(), "parts", 20'000, NoProgress());
  ASSERT_GT(shards.size(), 1u);
  model_ = shards.front();
  Run();
  const auto before = Times();
  std::string last = ReadFile(folder_ / shards.back());
  last[last.size() - 2] ^= 1;  // of a weight's mantissa
  WriteFile(folder_ / shards.back(), last);
  Run();
  for (const char* file : {"out.work/evaluate-base.json", "out.work/merged.gguf", "out/tiny-384-Q8_0.gguf"})
    EXPECT_GT(Times().at(file), before.at(file)) << file;
}

TEST_F(ExtendTest, SoDoesEveryOtherSettingOfTheOptimizer) {
  Run();
  const std::string adapter = "out.work/adapter/adapter_model.safetensors";
  for (const char* setting :
       {"beta1: 0.8", "beta2: 0.9", "epsilon: 1e-4", "weight_decay: 0.5", "max_grad_norm: 0.1", "seed: 7"}) {
    const auto before = Times();
    Run(fmt::format("1e-3\n  {}", setting));
    EXPECT_GT(Times().at(adapter), before.at(adapter)) << setting;
  }
}

TEST_F(ExtendTest, GoesOnAfterCtrlC) {
  Run("1e-3", "straight");
  {
    Interrupter interrupter("train", 3);
    EXPECT_THROW(Run("1e-3", "resumed", interrupter), Error);
  }
  EXPECT_FALSE(fs::exists(folder_ / "resumed/README.md"));
  const auto scratch = fs::directory_iterator(folder_ / "resumed.work/scratch");
  ASSERT_NE(scratch, fs::end(scratch));
  EXPECT_TRUE(fs::exists(scratch->path() / "checkpoint.gguf"));
  const Measurements m = Run("1e-3", "resumed");
  EXPECT_EQ(m.training.points.size(), 6u);
  for (const char* file : {"adapter/adapter_model.safetensors", "tiny-384-Q8_0.gguf"}) {
    EXPECT_EQ(Sha256File(folder_ / "resumed" / file), Sha256File(folder_ / "straight" / file)) << file;
  }
}

TEST_F(ExtendTest, RefusesATargetThatTheBaseReachesAlready) {
  Run();
  std::string text = ReadFile(folder_ / "recipe.yml");
  text.replace(text.find("target: 384"), 11, "target: 192");
  WriteFile(folder_ / "recipe.yml", text);
  try {
    Extend(LoadRecipe(folder_ / "recipe.yml"), options_, NoProgress());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("recipe.yml"));
  }
}

// With a target of 65,536, windows of the target would take hours for each type.
TEST_F(ExtendTest, TypesAreComparedInTheRecipesWindows) {
  EXPECT_EQ(Run().quantization.context, 384);
  std::string text = ReadFile(folder_ / "recipe.yml");
  text.replace(text.find("  passkey:"), 0, "  kld: {context: 64, max_tokens: 96}\n");
  WriteFile(folder_ / "recipe.yml", text);
  const Measurements m = Extend(LoadRecipe(folder_ / "recipe.yml"), {"test"}, NoProgress());
  EXPECT_EQ(m.quantization.context, 64);
  EXPECT_LE(m.quantization.tokens, 96);
}

}  // namespace
}  // namespace longspan
