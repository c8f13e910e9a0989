#include "data/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/testing/shared_data.h"
#include "data/testing/byte_encoder.h"
#include "data/testing/compressed.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> Texts(const std::vector<std::filesystem::path>& inputs,
                               const CorpusOptions& options = {}, CorpusSkips* skips = nullptr) {
  std::vector<std::string> texts;
  Corpus corpus(inputs, options);
  while (auto document = corpus.Next()) texts.push_back(std::move(document->text));
  if (skips != nullptr) *skips = corpus.skips();
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
  EXPECT_EQ(skips.others.count, 1);
  EXPECT_EQ(skips.lost(), 0);
  EXPECT_THAT(skips.others.named[0], HasSubstr("c.so"));
  Texts({folder / "c.so"}, {}, &skips);  // asked for by name
  EXPECT_EQ(skips.files.count, 1);
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
  options.max_record_bytes = 4096;
  CorpusSkips skips;
  EXPECT_THAT(Texts({folder / "a.jsonl"}, options, &skips), ElementsAre("good", "good too"));
  EXPECT_EQ(skips.lines.count, std::ssize(bad));
  EXPECT_EQ(std::ssize(skips.lines.named), SkippedParts::kMostNamed);
  ASSERT_FALSE(skips.lines.named.empty());
  EXPECT_THAT(skips.lines.named[0], HasSubstr("a.jsonl:2"));
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

TEST(Corpus, GoesOnAfterAFileThatIsCutOff) {
  const TestFolder folder;
  std::string text;
  for (int i = 0; i < 30'000; ++i) text += fmt::format("{{\"text\": \"document {}\"}}\n", i * i);
  WriteFile(folder / "z.jsonl", "{\"text\": \"last\"}\n");
  for (const std::string& packed : {Zstd(text), Gzip(text)}) {
    WriteFile(folder / "a.jsonl.x", packed.substr(0, packed.size() - 9));
    WriteFile(folder / "b.txt.x", packed.substr(0, packed.size() - 9));  // JSON by its contents, too
    WriteFile(folder / "c.x", Gzip("half a text " + text).substr(0, 50'000));
    CorpusSkips skips;
    const auto texts = Texts({folder.path()}, {}, &skips);
    EXPECT_EQ(texts.front(), "document 0");
    EXPECT_EQ(texts.back(), "last");
    EXPECT_GT(texts.size(), 1000u);
    EXPECT_EQ(skips.files.count, 3);
    EXPECT_THAT(skips.files.named[0], HasSubstr("a.jsonl.x: cut off"));
    EXPECT_THAT(skips.files.named[0], HasSubstr("; the lines before "));
    CorpusOptions strict;
    strict.strict = true;
    EXPECT_EQ(KindOf([&] { Texts({folder.path()}, strict); }), ErrorKind::kInvalidFile);
  }
}

TEST(Corpus, GoesOnAfterWhatCannotBeOpened) {
  const TestFolder folder;
  WriteFile(folder / "a.zst", "no zstd");
  WriteFile(folder / "c.txt", "text");
  std::filesystem::create_symlink(folder / "nowhere", folder / "b");
  std::filesystem::create_directory_symlink(folder.path(), folder / "d");
  CorpusSkips skips;
  EXPECT_THAT(Texts({folder.path()}, {}, &skips), ElementsAre("text"));
  EXPECT_EQ(skips.files.count, 1);
  EXPECT_EQ(skips.others.count, 2);
  EXPECT_THAT(skips.others.named[1], HasSubstr("a link to a folder"));
  // A file that disappears between the listing and the reading.
  WriteFile(folder / "aa.txt", "short-lived");
  Corpus corpus({folder / "aa.txt", folder / "c.txt"}, {});
  std::filesystem::remove(folder / "aa.txt");
  EXPECT_EQ(corpus.Next()->text, "text");
  EXPECT_EQ(corpus.skips().files.count, 1);
}

// JSON as it occurs in practice: each file holds three documents.
TEST(Corpus, ReadsJsonUnderAnyNameAndInAnyShape) {
  const TestFolder folder;
  const std::string good = R"({"text": "The old man"})";
  const auto expect_three = [&](const std::string& name, const std::string& data) {
    WriteFile(folder / name, data);
    CorpusSkips skips;
    EXPECT_EQ(Texts({folder / name}, {}, &skips).size(), 3u) << name << ": " << skips.first();
    EXPECT_EQ(skips.lost(), 0) << name;
  };
  const std::string lines = good + "\n" + good + "\n" + good + "\n";
  for (const char* name : {"a.json", "a.ndjson", "A.JSONL", "a.dump"}) expect_three(name, lines);
  expect_three("array.json", "[" + good + ", " + good + ",\n" + good + "]");
  expect_three("pretty.json", "{\n \"text\":\n \"a\"\n}\n{\n \"text\": \"b]}\"\n}\n" + good);
  expect_three("bom.jsonl", "\xEF\xBB\xBF" + lines);
  expect_three("joined.jsonl", "\xEF\xBB\xBF" + good + "\n\xEF\xBB\xBF" + good + "\n" + good);
  expect_three("numbers.jsonl", R"({"text": "a", "id": 123456789012345678901234567890})"
                                "\n"
                                R"({"text": "b", "x": 1e999, "y": NaN, "z": -Infinity})"
                                "\n" +
                                    good);
  expect_three("lone.jsonl", R"({"text": "a \ud83d", "x": "\udcb2"})"
                             "\n" +
                                 good + "\n" + good);
  expect_three("long31.jsonl.zst", ZstdWithWindow(lines, 31));
  expect_three("a.jsonl.gz", Gzip(good + "\n" + good) + Gzip("\n" + good));
}

TEST(Corpus, AMarkBeforeTextIsNoText) {
  const TestFolder folder;
  WriteFile(folder / "a.txt", "\xEF\xBB\xBFOnce");
  WriteFile(folder / "b.txt", "\xEF\xBB\xBF");
  EXPECT_THAT(Texts({folder / "a.txt", folder / "b.txt"}), ElementsAre("Once"));
}

TEST(Corpus, TextThatIsNotUtf8IsSkippedAndNamed) {
  const TestFolder folder;
  WriteFile(folder / "a.txt", "caf\xE9");
  WriteFile(folder / "b.txt", std::string("\xFF\xFEO\0", 4));
  WriteFile(folder / "c.txt", "caf\xC3\xA9");
  CorpusSkips skips;
  EXPECT_THAT(Texts({folder / "a.txt", folder / "b.txt", folder / "c.txt"}, {}, &skips), ElementsAre("café"));
  EXPECT_THAT(skips.documents.named, ElementsAre(HasSubstr("a.txt: not UTF-8 at byte 4")));
  EXPECT_THAT(skips.files.named, ElementsAre(HasSubstr("UTF-16")));
}

TEST(Corpus, LimitsTexts) {
  const TestFolder folder;
  const std::string text(5000, 'x');
  WriteFile(folder / "a.txt", text);
  WriteFile(folder / "b.jsonl", "{\"text\": \"" + text + "\"}\n{\"text\": \"short\"}\n");
  WriteFile(folder / "c.json", "[{\"text\": \"" + text + "\"}, {\"text\": \"short\"}]");
  CorpusOptions options;
  options.max_document_bytes = 4999;
  CorpusSkips skips;
  EXPECT_THAT(Texts({folder.path()}, options, &skips), ElementsAre("short", "short"));
  EXPECT_EQ(skips.documents.count, 3);
  options.max_document_bytes = 5000;
  EXPECT_EQ(Texts({folder.path()}, options).size(), 5u);
  options.max_record_bytes = 4999;
  EXPECT_THAT(Texts({folder / "b.jsonl", folder / "c.json"}, options, &skips), ElementsAre("short", "short"));
  EXPECT_EQ(skips.lines.count, 2);
}

TEST(Corpus, AnArrayThatBreaksOffIsNamed) {
  const TestFolder folder;
  WriteFile(folder / "a.json", "[{\"text\": \"a\"},\n\n 5, {\"text\": \"b\"},\n{\"text\": \"c");
  CorpusSkips skips;
  EXPECT_THAT(Texts({folder / "a.json"}, {}, &skips), ElementsAre("a", "b"));
  EXPECT_THAT(skips.lines.named, ElementsAre(HasSubstr("a.json:3: expected a JSON object"),
                                             HasSubstr("a.json:4: the file ends within")));
}

// Its documents would count twice, and one copy could be trained on and the other held out.
TEST(Corpus, AFileOfTwoInputsIsRefused) {
  const TestFolder folder;
  std::filesystem::create_directory(folder / "docs");
  WriteFile(folder / "docs/a.txt", "one");
  const auto refused = [&](const std::filesystem::path& a, const std::filesystem::path& b) {
    return KindOf([&] { Texts({a, b}); }) == ErrorKind::kBadOption;
  };
  EXPECT_TRUE(refused(folder / "docs", folder / "docs"));
  EXPECT_TRUE(refused(folder / "docs", folder / "docs/a.txt"));
  EXPECT_TRUE(refused(folder / "docs/a.txt", folder / "docs/../docs/a.txt"));
  std::filesystem::copy_file(folder / "docs/a.txt", folder / "docs/b.txt");  // a file of its own
  EXPECT_THAT(Texts({folder / "docs"}), ElementsAre("one", "one"));
}

// Two names of one file would put a document into both training and validation.
TEST(Corpus, AFileWithTwoNamesInAFolderIsReadOnce) {
  const TestFolder folder;
  WriteFile(folder / "a.txt", "one");
  std::filesystem::create_symlink("a.txt", folder / "b.txt");
  std::filesystem::create_hard_link(folder / "a.txt", folder / "c.txt");
  Corpus corpus({folder.path()}, {});
  const std::optional<Document> document = corpus.Next();
  ASSERT_TRUE(document);
  EXPECT_EQ(document->text, "one");
  EXPECT_FALSE(corpus.Next());
  EXPECT_EQ(corpus.skips().others.count, 2);
  EXPECT_THAT(corpus.skips().others.named.front(),
              HasSubstr("b.txt: another name of a file of the same folder"));
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
    EXPECT_THAT(document->file, HasSubstr("novels.jsonl.zst"));
    EXPECT_EQ(document->line, i + 1);
  }
  EXPECT_GT(corpus.read_bytes(), 0u);
  EXPECT_LT(corpus.read_bytes(), corpus.total_bytes());
}

}  // namespace
}  // namespace longspan
