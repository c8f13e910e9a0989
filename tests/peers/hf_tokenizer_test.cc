// tokenizer.json as longspan writes it, read by Hugging Face's own tokenizers.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/testing/shared_data.h"
#include "base/testing/temporary_folder.h"
#include "formats/gguf_reader.h"
#include "random_text.h"
#include "text/gguf_vocabulary.h"
#include "text/hf/tokenizer.h"
#include "text/tokenizer.h"

namespace longspan::peers {
namespace {

class HfTokenizer : public testing::TestWithParam<const char*> {};

TEST_P(HfTokenizer, CutsTextsAlike) {
  const std::filesystem::path package = std::filesystem::path(LONGSPAN_SOURCE_DIR) / "bench/peers";
  if (!std::filesystem::exists(package / "node_modules/@huggingface/tokenizers"))
    GTEST_SKIP() << "Hugging Face's tokenizers are absent; scripts/test --peers installs them";
  const std::string name = fmt::format("models/ggml-vocab-{}.gguf", GetParam());
  const auto path = SharedData(name), wikitext = SharedData("text/wiki.test.raw");
  if (!path || !wikitext) GTEST_SKIP() << "shared data is absent: " << name << ", text/wiki.test.raw";

  std::vector<std::string> texts;
  std::mt19937 random(6);
  for (int i = 0; i < 3000; ++i) texts.push_back(RandomText(random, /*assigned=*/true));
  const std::string article = ReadFile(*wikitext).substr(0, 200'000);
  for (std::size_t at = 0, end = 0; end != std::string::npos; at = end + 1)
    texts.push_back(article.substr(at, (end = article.find('\n', at)) - at));
  texts.pop_back();  // may end within a character

  const TestFolder folder;
  const auto file = GgufFile::Open(*path);
  WriteHfTokenizer(file->metadata(), folder.path());
  WriteFile(folder / "texts.json", nlohmann::json(texts).dump());
  const std::string command =
      fmt::format("node '{}' '{}' '{}' '{}'", (package / "hf_tokens.js").string(), folder.path().string(),
                  (folder / "texts.json").string(), (folder / "ids.json").string());
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  const auto theirs = nlohmann::json::parse(ReadFile(folder / "ids.json"));
  const auto ours = Tokenizer::Make(ReadVocabulary(file->metadata()));
  ASSERT_EQ(theirs.size(), texts.size());
  for (std::size_t i = 0; i < texts.size() && !HasFailure(); ++i)
    EXPECT_EQ(ours->Encode(texts[i], {}), theirs[i].get<std::vector<std::int32_t>>()) << texts[i];
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, HfTokenizer, testing::Values("llama-bpe", "llama-spm"),
                         [](const auto& name) { return std::string(name.param).substr(6); });

}  // namespace
}  // namespace longspan::peers
