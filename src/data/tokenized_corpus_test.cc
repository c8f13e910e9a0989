#include "data/tokenized_corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "data/shard.h"
#include "data/testing/byte_encoder.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Fails as a tokenizer may on a document that it cannot encode.
TextEncoder ChokingEncoder() {
  TextEncoder encoder = ByteEncoder();
  encoder.encode = [encode = encoder.encode](std::string_view text) {
    if (text.starts_with("choke")) Fail(ErrorKind::kInternal, "the pre-tokenizer fails at byte 0");
    if (text.starts_with("memory")) throw std::bad_alloc();
    return encode(text);
  };
  return encoder;
}

std::vector<std::string> TextsOf(const TokenDocuments& texts) {
  std::vector<std::string> result;
  for (const auto& document : texts.documents) result.push_back(ByteText(document));
  return result;
}

TEST(ReadDocuments, SkipsADocumentThatCannotBeTokenised) {
  const TestFolder folder;
  WriteFile(folder / "a.jsonl",
            "{\"text\": \"one\"}\n{\"text\": \"choke\"}\n{\"text\": \"memory\"}\n{\"text\": \"two\"}\n");
  const TextEncoder encoder = ChokingEncoder();
  const TokenDocuments texts = ReadDocuments({folder / "a.jsonl"}, {}, encoder);
  EXPECT_THAT(TextsOf(texts), ElementsAre("one", "two"));
  EXPECT_THAT(texts.skips.documents.named,
              ElementsAre(HasSubstr("a.jsonl:2: cannot be tokenised"), HasSubstr("a.jsonl:3: no memory")));
  ReadDocumentsOptions strict;
  strict.corpus.strict = true;
  EXPECT_EQ(KindOf([&] { ReadDocuments({folder / "a.jsonl"}, strict, encoder); }), ErrorKind::kInvalidFile);
}

TEST(ReadDocuments, TakesTheTextFieldAndALimit) {
  const TestFolder folder;
  std::string lines;
  for (int i = 0; i < 600; ++i) lines += fmt::format("{{\"content\": \"{}\"}}\n", i);
  WriteFile(folder / "a.jsonl", lines);
  const TextEncoder encoder = ByteEncoder();
  ReadDocumentsOptions options;
  options.corpus.text_field = "content";
  EXPECT_EQ(ReadDocuments({folder / "a.jsonl"}, options, encoder).documents.size(), 600u);
  options.max_documents = 300;
  const auto texts = TextsOf(ReadDocuments({folder / "a.jsonl", folder / "a.jsonl"}, options, encoder));
  ASSERT_EQ(texts.size(), 300u);
  EXPECT_EQ(texts.back(), "299");
}

TEST(ReadDocuments, ReadsShardsOfThisTokenizerAlone) {
  const TestFolder folder;
  WriteFile(folder / "a.txt", "text");
  MakeShard(folder / "a.lsd", {{256, 'h', 'i', 257}, {'x'}});
  const TextEncoder encoder = ByteEncoder();
  EXPECT_THAT(TextsOf(ReadDocuments({folder / "a.lsd", folder / "a.txt"}, {}, encoder)),
              ElementsAre("hi", "x", "text"));
  EXPECT_EQ(ReadDocuments({folder / "a.lsd"}, {{}, 1}, encoder).documents.size(), 1u);
  TextEncoder other = encoder;
  other.fingerprint = 1;
  EXPECT_EQ(KindOf([&] { ReadDocuments({folder / "a.lsd"}, {}, other); }), ErrorKind::kBadOption);
}

TEST(ReadDocuments, NothingLeftIsAnErrorThatSaysWhy) {
  const TestFolder folder;
  WriteFile(folder / "a.jsonl", "{\"txt\": \"other field\"}\n");
  const TextEncoder encoder = ByteEncoder();
  EXPECT_EQ(KindOf([&] { ReadDocuments({folder / "a.jsonl"}, {}, encoder); }), ErrorKind::kInvalidFile);
}

class Messages : public Progress {
 public:
  void Message(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

TEST(CorpusSkips, AreReportedByKind) {
  CorpusSkips skips;
  Messages messages;
  Report(skips, messages);
  EXPECT_TRUE(messages.lines.empty());
  for (int i = 0; i < 12; ++i) skips.lines.Add(fmt::format("line {}", i));
  skips.files.Add("file");
  skips.others.Add("other");
  EXPECT_EQ(skips.Summary(), "12 lines and 1 file");
  EXPECT_EQ(skips.first(), "file");
  Report(skips, messages);
  ASSERT_EQ(messages.lines.size(), 16u);
  EXPECT_EQ(messages.lines[0], "12 lines of the input could not be used:");
  EXPECT_EQ(messages.lines[11], "  and 2 more");
  EXPECT_EQ(messages.lines[12], "1 file of the input could not be used:");
  EXPECT_EQ(messages.lines[14], "1 file without text in the folders:");
}

}  // namespace
}  // namespace longspan
