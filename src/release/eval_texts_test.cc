#include "release/eval_texts.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

using testing::HasSubstr;

// One token a byte.
TextEncoder Bytes() {
  return {.encode = [](std::string_view text) { return std::vector<std::int32_t>(text.begin(), text.end()); },
          .vocab_size = 256,
          .eos = 0};
}

TEST(EvalTexts, ComeFromTheFieldThatIsAskedFor) {
  const TestFolder folder;
  WriteFile(folder / "texts.jsonl",
            "{\"body\": \"abc\"}\nbroken\n{\"text\": \"no body\"}\n{\"body\": \"de\"}\n");
  CorpusOptions options;
  options.text_field = "body";
  const EvalTextFacts facts = PrepareEvalTexts("eval.inputs", {folder / "texts.jsonl"}, options, Bytes(),
                                               folder / "shards", {}, NoProgress());
  EXPECT_EQ(facts.documents, 2);
  EXPECT_EQ(facts.tokens, 5);
  EXPECT_EQ(facts.longest, 3);
  EXPECT_EQ(facts.skipped, "2 lines");
  EXPECT_THAT(facts.first_skipped, HasSubstr("texts.jsonl:2"));

  const auto documents = ReadEvalTexts(folder / "shards", EvalTexts::kAll);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0], (TokenDocument{'a', 'b', 'c'}));  // no EOS, because no text has one
  EXPECT_EQ(documents[1], (TokenDocument{'d', 'e'}));
  EXPECT_TRUE(ReadEvalTexts(folder / "shards", EvalTexts::kHeldOut).empty());
  EXPECT_EQ(MeasureEvalTexts(folder / "shards", EvalTexts::kHeldOut).longest, 0);
}

TEST(EvalTexts, WithoutAnyTextAreAnErrorThatNamesTheKey) {
  const TestFolder folder;
  WriteFile(folder / "texts.jsonl", "{\"text\": 3}\n");
  const std::string message = ErrorOf([&] {
    PrepareEvalTexts("eval.inputs", {folder / "texts.jsonl"}, {}, Bytes(), folder / "shards", {},
                     NoProgress());
  });
  EXPECT_THAT(message, HasSubstr("eval.inputs"));
  EXPECT_THAT(message, HasSubstr("texts.jsonl:1"));
}

}  // namespace
}  // namespace longspan
