#include "data/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include "base/file.h"
#include "base/testing/shared_data.h"
#include "data/testing/byte_encoder.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Zstd(std::string_view text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

std::vector<std::string> Texts(const std::vector<std::filesystem::path>& inputs,
                               const CorpusOptions& options = {}, CorpusSkips* skips = nullptr) {
  std::vector<std::string> texts;
  const CorpusSkips found = ForEachDocument(inputs, options, [&](Document document) {
    texts.push_back(std::move(document.text));
    return true;
  });
  if (skips != nullptr) *skips = found;
  return texts;
}

constexpr std::string_view kTwoLines =
    "{\"text\": \"one\\n\\u00e9\", \"meta\": {\"text\": \"not this\"}, \"red_pajama_subset\": \"book\"}\r\n"
    "\n"
    "{\"meta\": {}, \"text\": \"two\"}";

TEST(Corpus, ReadsJsonLines) {
  const TestFolder folder;
  WriteFile(folder / "a.jsonl", kTwoLines);
  EXPECT_THAT(Texts({folder / "a.jsonl"}), ElementsAre("one\né", "two"));
}

TEST(Corpus, ReadsZstdOfSeveralFrames) {
  const TestFolder folder;
  const std::string first(kTwoLines.substr(0, 40)), second(kTwoLines.substr(40));
  WriteFile(folder / "a.jsonl.zst", Zstd(first) + Zstd("") + Zstd(second));
  WriteFile(folder / "b.txt.zst", Zstd("plain\ntext\n"));
  EXPECT_THAT(Texts({folder / "a.jsonl.zst", folder / "b.txt.zst"}),
              ElementsAre("one\né", "two", "plain\ntext\n"));
}

TEST(Corpus, ReadsLinesLongerThanItsBuffers) {
  const TestFolder folder;
  const std::string text(3'000'000, 'x');
  const std::string lines = "{\"text\": \"" + text + "\"}\n{\"text\": \"short\"}\n";
  WriteFile(folder / "a.jsonl.zst", Zstd(lines));
  WriteFile(folder / "b.jsonl", lines);
  EXPECT_THAT(Texts({folder / "a.jsonl.zst", folder / "b.jsonl"}), ElementsAre(text, "short", text, "short"));
}

TEST(Corpus, ReadsFoldersInOrderAndPassesOverBinaryFiles) {
  const TestFolder folder;
  WriteFile(folder / "b/2.md", "third");
  WriteFile(folder / "b/1.txt", "second");
  WriteFile(folder / "a.pod", "first");
  WriteFile(folder / "c.so", std::string("\x7f"
                                         "ELF\0\0",
                                         6));
  WriteFile(folder / "d.txt", "");
  CorpusSkips skips;
  EXPECT_THAT(Texts({folder.path()}, {}, &skips), ElementsAre("first", "second", "third"));
  EXPECT_EQ(skips.files, 1);
  EXPECT_THAT(skips.first, HasSubstr("c.so"));
  EXPECT_EQ(KindOf([&] { Texts({folder / "c.so"}); }), ErrorKind::kInvalidFile);  // asked for by name
}

TEST(Corpus, CountsHostileLines) {
  const TestFolder folder;
  const std::vector<std::string> bad = {"{\"text\": \"breaks off\"",
                                        "{\"text\": \"breaks off later\", \"meta\": {\"a\": 1}",
                                        "{\"text\": \"more\"} {}",
                                        "{\"text\": 5}",
                                        "{\"txt\": \"other field\"}",
                                        "[\"text\"]",
                                        "\"text\"",
                                        "{\"text\": \"\\ud800\"}",
                                        "{\"text\": \"\xff\xfe\"}",
                                        "{\"text\": \"tab\tnot escaped\"}",
                                        std::string("{\"text\": \"\0\"}", 13),
                                        std::string(2000, '['),
                                        "{\"text\": \"" + std::string(5000, 'x') + "\"}"};
  std::string lines = "{\"text\": \"good\"}\n";
  for (const std::string& line : bad) lines += line + "\n";
  lines += "{\"text\": \"good too\"}\n";
  WriteFile(folder / "a.jsonl", lines);
  CorpusOptions options;
  options.max_document_bytes = 4096;
  CorpusSkips skips;
  EXPECT_THAT(Texts({folder / "a.jsonl"}, options, &skips), ElementsAre("good", "good too"));
  EXPECT_EQ(skips.lines, static_cast<std::int64_t>(bad.size()));
  EXPECT_THAT(skips.first, HasSubstr("a.jsonl:2"));
  options.strict = true;
  EXPECT_EQ(KindOf([&] { Texts({folder / "a.jsonl"}, options); }), ErrorKind::kInvalidFile);
}

TEST(Corpus, TakesAnotherTextField) {
  const TestFolder folder;
  WriteFile(folder / "a.jsonl", "{\"text\": \"a\", \"content\": \"b\"}");
  CorpusOptions options;
  options.text_field = "content";
  EXPECT_THAT(Texts({folder / "a.jsonl"}, options), ElementsAre("b"));
}

TEST(Corpus, RefusesBrokenZstd) {
  const TestFolder folder;
  std::string text;
  for (int i = 0; i < 2000; ++i) text += fmt::format("{{\"text\": \"document {}\"}}\n", i * i);
  const std::string packed = Zstd(text);
  for (std::size_t length = 1; length < packed.size(); length += 97) {
    WriteFile(folder / "a.jsonl.zst", packed.substr(0, length));
    EXPECT_EQ(KindOf([&] { Texts({folder / "a.jsonl.zst"}); }), ErrorKind::kInvalidFile) << length;
  }
  WriteFile(folder / "a.jsonl.zst", "this is no zstd stream");
  EXPECT_EQ(KindOf([&] { Texts({folder / "a.jsonl.zst"}); }), ErrorKind::kInvalidFile);
}

TEST(Corpus, SaysWhatIsMissing) {
  EXPECT_EQ(KindOf([] { Texts({"/no/such/file.jsonl"}); }), ErrorKind::kIo);
}

TEST(Corpus, ReadsRealBooks) {
  const auto path = SharedData("corpus/novels.jsonl.zst");
  if (!path) GTEST_SKIP() << "shared data is absent";
  Corpus corpus({*path}, {});
  for (int i = 0; i < 3; ++i) {
    const auto document = corpus.Next();
    ASSERT_TRUE(document);
    EXPECT_GT(document->text.size(), 100'000u);
    EXPECT_THAT(document->source, HasSubstr(fmt::format("novels.jsonl.zst:{}", i + 1)));
  }
  EXPECT_GT(corpus.read_bytes(), 0u);
  EXPECT_LT(corpus.read_bytes(), corpus.total_bytes());
}

}  // namespace
}  // namespace longspan
