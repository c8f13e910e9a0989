#include "data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <random>
#include <set>

#include "base/cancel.h"
#include "base/file.h"
#include "base/folder_lock.h"
#include "base/parallel.h"
#include "data/shard_set.h"
#include "data/testing/byte_encoder.h"
#include "data/testing/compressed.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

// A text of this length that no other number has.
std::string Text(int number, int length) {
  std::string text = fmt::format("{} ", number);
  while (std::ssize(text) < length) text += static_cast<char>('a' + (number + std::ssize(text)) % 26);
  return text.substr(0, length);
}

std::string Line(const std::string& text) { return "{\"text\": \"" + text + "\"}\n"; }

// A corpus of documents of these lengths.
fs::path WriteCorpus(const TestFolder& folder, const std::vector<int>& lengths) {
  std::string lines;
  for (std::size_t i = 0; i < lengths.size(); ++i) lines += Line(Text(static_cast<int>(i), lengths[i]));
  WriteFile(folder / "corpus.jsonl", lines);
  return folder / "corpus.jsonl";
}

std::vector<std::string> Texts(const Shard& shard) {
  std::vector<std::string> texts;
  for (std::int64_t i = 0; i < shard.documents(); ++i) texts.push_back(ByteText(shard.ReadDocument(i)));
  return texts;
}

TEST(Prepare, FiltersByWholeDocuments) {
  const TestFolder folder;
  const auto corpus = WriteCorpus(folder, {9, 10, 15, 20, 21, 45, 0});
  PrepareOptions options;
  options.limits = {10, 20};
  const PrepareReport report = Prepare({corpus}, ByteEncoder(), options, folder / "out", NoProgress());
  EXPECT_EQ(report.total.found, (DocumentCount{7, 120}));
  EXPECT_EQ(report.total.kept, (DocumentCount{3, 45}));
  EXPECT_EQ(report.total.too_short, (DocumentCount{2, 9}));
  EXPECT_EQ(report.total.too_long, (DocumentCount{2, 66}));
  EXPECT_EQ(report.train_tokens, 10 + 15 + 20 + 3);  // an EOS each
  const Shard shard = ShardSet::Open(folder / "out").train;
  EXPECT_THAT(Texts(shard), ElementsAre(Text(1, 10), Text(2, 15), Text(3, 20)));
  EXPECT_EQ(shard.ReadDocument(2).back(), 257);
  EXPECT_EQ(shard.vocabulary().bos, 256);
  EXPECT_FALSE(fs::exists(folder / "out.work"));
}

TEST(Prepare, SlicesLongerDocumentsWhereAsked) {
  const TestFolder folder;
  const auto corpus = WriteCorpus(folder, {9, 20, 45, 51});
  PrepareOptions options;
  options.limits = {10, 20, true};
  const PrepareReport report = Prepare({corpus}, ByteEncoder(), options, folder / "out", NoProgress());
  EXPECT_EQ(report.total.kept.documents, 3);
  EXPECT_EQ(report.total.too_long.documents, 0);
  EXPECT_EQ(report.total.sliced, 2);
  EXPECT_EQ(report.total.tokens_cut_off, 5);
  const Shard shard = ShardSet::Open(folder / "out").train;
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; i < shard.documents(); ++i) lengths.push_back(shard.Length(i));
  // 45 = 20 + 20 + 5: the last piece is shorter than min_tokens, so it is dropped together with its EOS.
  EXPECT_THAT(lengths, ElementsAre(21, 20, 20, 20, 20, 11 + 1));
}

TEST(Prepare, HoldsOutDocumentsByTheirText) {
  const TestFolder folder;
  const auto corpus = WriteCorpus(folder, std::vector<int>(400, 12));
  PrepareOptions options;
  options.validation_share = 0.1;
  options.append_eos = false;
  const PrepareReport report = Prepare({corpus}, ByteEncoder(), options, folder / "out", NoProgress());
  EXPECT_NEAR(static_cast<double>(report.validation_pieces), 40, 5 * 6);
  EXPECT_EQ(report.validation_pieces + report.train_pieces, 400);
  const std::vector<std::string> held_out = Texts(*ShardSet::Open(folder / "out").validation);
  // Half of the corpus, in another order: what is held out stays held out.
  std::string lines;
  for (int i = 398; i >= 0; i -= 2) lines += Line(Text(i, 12));
  WriteFile(folder / "half.jsonl", lines);
  Prepare({folder / "half.jsonl"}, ByteEncoder(), options, folder / "half", NoProgress());
  for (const std::string& text : Texts(*ShardSet::Open(folder / "half").validation))
    EXPECT_THAT(held_out, testing::Contains(text));

  // A second run without validation leaves no stale one behind.
  options.validation_share = 0;
  Prepare({corpus}, ByteEncoder(), options, folder / "out", NoProgress());
  EXPECT_FALSE(ShardSet::Open(folder / "out").validation);
}

TEST(Prepare, KeepsTheFirstOfEqualTexts) {
  const TestFolder folder;
  std::string a, b;
  for (int i = 0; i < 100; ++i) a += Line(Text(i % 40, 20));
  for (int i = 0; i < 60; ++i) b += Line(Text(i, 20));
  WriteFile(folder / "in/a.jsonl", a);
  WriteFile(folder / "in/b.jsonl.zst", Zstd(b));
  PrepareOptions options;
  options.validation_share = 0.3;
  options.unit_bytes = 500;
  const PrepareReport report = Prepare({folder / "in"}, ByteEncoder(), options, folder / "out", NoProgress());
  EXPECT_EQ(report.total.duplicates, (DocumentCount{100, 2000}));
  EXPECT_EQ(report.total.kept.documents, 60);
  const ShardSet set = ShardSet::Open(folder / "out");
  std::vector<std::string> texts = Texts(set.train);
  const std::vector<std::string> held_out = Texts(*set.validation);
  texts.insert(texts.end(), held_out.begin(), held_out.end());
  EXPECT_EQ(texts.size(), 60u);
  EXPECT_EQ(std::set<std::string>(texts.begin(), texts.end()).size(), 60u);
}

TEST(Prepare, LeavesOutNearDuplicatesWhereAsked) {
  const TestFolder folder;
  std::string text;
  for (int i = 0; i < 500; ++i) text += fmt::format("word{} ", i * i % 1009);
  WriteFile(folder / "in/a.txt", text);
  WriteFile(folder / "in/b.txt", "Another beginning. " + text);
  WriteFile(folder / "in/c.txt", Text(1, 3000));
  PrepareOptions options;
  const auto prepare = [&] {
    return Prepare({folder / "in"}, ByteEncoder(), options, folder / "out", NoProgress()).total;
  };
  EXPECT_EQ(prepare().kept.documents, 3);
  options.near_duplicates = true;
  const DocumentFates total = prepare();
  EXPECT_EQ(total.kept.documents, 2);
  EXPECT_EQ(total.near_duplicates, (DocumentCount{1, std::ssize(text) + 19}));
  EXPECT_EQ(Texts(ShardSet::Open(folder / "out").train)[0], text);
}

// RedPajama's layout, and what is left out of it.
TEST(Prepare, CountsByTheCorpusOwnParts) {
  const TestFolder folder;
  WriteFile(folder / "in/arxiv/a.jsonl", R"({"text": "a paper", "meta": {"source": "arxiv"}})"
                                         "\n"
                                         R"({"text": "a paper", "meta": {"source": "arxiv"}})"
                                         "\n");
  WriteFile(folder / "in/common_crawl/b.jsonl.zst",
            Zstd(R"({"text": "a long page", "source": "cc/2019-30/x"})"
                 "\n"
                 R"({"text": "page", "source": "cc/2019-30/x"})"));
  WriteFile(folder / "in/sample.jsonl", R"({"text": "tweet", "meta": "{'source': 'c4', 'n': None}"})");
  WriteFile(folder / "in/z.txt", "a text");
  PrepareOptions options;
  options.limits = {5, 10};
  const PrepareReport report = Prepare({folder / "in"}, ByteEncoder(), options, folder / "out", NoProgress());
  ASSERT_EQ(report.subsets.size(), 4u);
  EXPECT_EQ(report.subsets[0].subset, "");
  EXPECT_EQ(report.subsets[0].kept, (DocumentCount{1, 6}));
  EXPECT_EQ(report.subsets[1].subset, "arxiv");
  EXPECT_EQ(report.subsets[1].found, (DocumentCount{2, 14}));
  EXPECT_EQ(report.subsets[1].duplicates, (DocumentCount{1, 7}));
  EXPECT_EQ(report.subsets[2].subset, "c4");
  EXPECT_EQ(report.subsets[3].subset, "common_crawl");
  EXPECT_EQ(report.subsets[3].too_long, (DocumentCount{1, 11}));
  EXPECT_EQ(report.subsets[3].too_short, (DocumentCount{1, 4}));
}

// Files of every kind, some of them broken.
void WriteManyFiles(const TestFolder& folder) {
  std::string lines;
  for (int i = 0; i < 700; ++i) {
    if (i % 50 == 17) lines += "no JSON\n";
    lines += Line(Text(i % 650, 1 + i * 37 % 101));
  }
  WriteFile(folder / "in/a.jsonl", lines);
  WriteFile(folder / "in/b.jsonl.zst",
            Zstd(Line(Text(1000, 50)) + "broken\n" + Line(Text(3, 1 + 3 * 37 % 101))));
  WriteFile(folder / "in/c.jsonl", "\n\n" + lines.substr(0, 3000) + Line(Text(1001, 60)));
  for (int i = 0; i < 20; ++i) WriteFile(folder / fmt::format("in/d/{:02}.txt", i), Text(2000 + i, 30 + i));
  WriteFile(folder / "in/e.jsonl", "\xEF\xBB\xBF" + Line(Text(3000, 40)) + std::string(900, ' ') + "\n" +
                                       Line(Text(3001, 2000)) + Line(Text(3002, 40)) + "{\"text\": ");
}

PrepareOptions ManyOptions() {
  PrepareOptions options;
  options.limits = {10, 80, true};
  options.validation_share = 0.2;
  options.near_duplicates = true;
  return options;
}

std::string Shards(const fs::path& out) {
  return ReadFile(out / "train.lsd") + ReadFile(out / "validation.lsd");
}

std::vector<std::string> Notes(const PrepareReport& report) {
  std::vector<std::string> notes;
  for (const SkipNote& note : report.skips.lines.named) notes.push_back(note.Text());
  return notes;
}

TEST(Prepare, DoesNotDependOnThreadsOrUnits) {
  const TestFolder folder;
  WriteManyFiles(folder);
  PrepareOptions options = ManyOptions();
  const PrepareReport whole =
      Prepare({folder / "in"}, ByteEncoder(), options, folder / "whole", NoProgress());
  EXPECT_EQ(whole.skips.lines.count, 14 + 1 + 2 + 1);
  EXPECT_THAT(Notes(whole)[1], HasSubstr("a.jsonl:69: expected a JSON object"));
  const int threads = Threads();
  for (const int n : {1, 2, 5}) {
    for (const int unit : {211, 1000, 20'000}) {
      SetThreads(n);
      options.unit_bytes = unit;
      const PrepareReport report =
          Prepare({folder / "in"}, ByteEncoder(), options, folder / "out", NoProgress());
      EXPECT_TRUE(Shards(folder / "out") == Shards(folder / "whole")) << n << " threads, units of " << unit;
      EXPECT_EQ(Notes(report), Notes(whole)) << n << " threads, units of " << unit;
      EXPECT_EQ(report.total.kept, whole.total.kept);
    }
  }
  SetThreads(threads);
}

// Fails where it is asked for this text.
TextEncoder Failing(const std::string& at, ErrorKind kind) {
  TextEncoder encoder = ByteEncoder();
  encoder.encode = [encode = encoder.encode, at, kind](std::string_view text) {
    if (text == at) Fail(kind, "stop");
    return encode(text);
  };
  return encoder;
}

TEST(Prepare, GoesOnWithThePartsThatAreThere) {
  const TestFolder folder;
  WriteManyFiles(folder);
  PrepareOptions options = ManyOptions();
  Prepare({folder / "in"}, ByteEncoder(), options, folder / "straight", NoProgress());
  options.unit_bytes = 700;
  const int threads = Threads();
  SetThreads(1);
  const TextEncoder stopping = Failing(Text(2010, 40), ErrorKind::kCancelled);
  EXPECT_EQ(KindOf([&] { Prepare({folder / "in"}, stopping, options, folder / "out", NoProgress()); }),
            ErrorKind::kCancelled);
  EXPECT_FALSE(fs::exists(folder / "out"));
  // Parts of which something is missing count for nothing, and so do a foreign file and another run's part.
  std::vector<fs::path> parts;
  for (const auto& entry : fs::directory_iterator(folder / "out.work")) {
    if (entry.path().extension() == ".json") parts.push_back(entry.path());
  }
  ASSERT_GT(parts.size(), 10u);
  fs::remove(fs::path(parts[0]).replace_extension(".tokens"));
  fs::resize_file(fs::path(parts[1]).replace_extension(".documents"), 1);
  WriteFile(parts[2], "{");
  WriteFile(folder / "out.work/notes", "mine");
  WriteFile(folder / "out.work/0123456789abcdef0123456789abcdef.json", "another run's");
  // What is done is not tokenised again: of some 880 documents, those of three parts and of the rest.
  int encoded = 0;
  TextEncoder counting = ByteEncoder();
  counting.encode = [encode = counting.encode, &encoded](std::string_view text) {
    ++encoded;
    return encode(text);
  };
  const PrepareReport report = Prepare({folder / "in"}, counting, options, folder / "out", NoProgress());
  SetThreads(threads);
  EXPECT_GT(encoded, 10);
  EXPECT_LT(encoded, 100);
  EXPECT_GT(report.total.found.documents, 700);
  EXPECT_TRUE(Shards(folder / "out") == Shards(folder / "straight"));
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder / "out.work"))
    left.push_back(entry.path().filename());
  EXPECT_THAT(left, UnorderedElementsAre("notes", ".lock"));
}

// At random moments; the processes have one thread each, so that they may be forked.
TEST(Prepare, GoesOnWheneverItWasKilled) {
  const TestFolder folder;
  WriteManyFiles(folder);
  PrepareOptions options = ManyOptions();
  Prepare({folder / "in"}, ByteEncoder(), options, folder / "straight", NoProgress());
  options.unit_bytes = 1000;
  const auto start = std::chrono::steady_clock::now();
  Prepare({folder / "in"}, ByteEncoder(), options, folder / "timed", NoProgress());
  const auto whole =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start);
  std::mt19937_64 random(std::random_device{}());
  int killed = 0;
  for (int i = 0; i < 30; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      SetThreads(1);
      try {
        Prepare({folder / "in"}, ByteEncoder(), options, folder / "out", NoProgress());
      } catch (...) {
        ::_exit(1);
      }
      ::_exit(0);
    }
    ::usleep(std::uniform_int_distribution<useconds_t>(0, whole.count() / 2)(random));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    killed += WIFSIGNALED(status);
  }
  EXPECT_GT(killed, 0);
  Prepare({folder / "in"}, ByteEncoder(), options, folder / "out", NoProgress());
  EXPECT_TRUE(Shards(folder / "out") == Shards(folder / "straight"));
  EXPECT_FALSE(fs::exists(folder / "out.work"));
  for (const auto& entry : fs::directory_iterator(folder / "out"))
    EXPECT_EQ(entry.path().extension(), ".lsd") << entry.path();
}

TEST(Prepare, MakesPartsAnewWhereAnythingChanged) {
  const TestFolder folder;
  const auto corpus = WriteCorpus(folder, {30, 40, 50});
  PrepareOptions options;
  const auto make = [&](const TextEncoder& encoder = ByteEncoder()) {
    return PreparePart({corpus}, encoder, options, folder / "out", {0, 1}, NoProgress()).missing;
  };
  const auto parts = [&] {
    std::int64_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder / "out.work"))
      count += entry.path().extension() == ".json";
    return count;
  };
  EXPECT_EQ(make(), 0);
  make();
  options.append_eos = false;  // no matter of the parts
  options.validation_share = 0.5;
  make();
  EXPECT_EQ(parts(), 1);
  options.limits.min_tokens = 35;
  make();
  EXPECT_EQ(parts(), 2);
  TextEncoder other = ByteEncoder();
  other.fingerprint = 5;
  make(other);
  EXPECT_EQ(parts(), 3);
  fs::last_write_time(corpus, fs::last_write_time(corpus) + std::chrono::seconds(1));
  make();
  EXPECT_EQ(parts(), 4);
}

TEST(Prepare, SharesOfTheWorkMakeTheSameShards) {
  const TestFolder folder;
  WriteManyFiles(folder);
  PrepareOptions options = ManyOptions();
  options.unit_bytes = 1500;
  Prepare({folder / "in"}, ByteEncoder(), options, folder / "straight", NoProgress());
  std::int64_t parts = 0;
  for (std::int64_t i = 0; i < 4; ++i) {
    const ShareReport report =
        PreparePart({folder / "in"}, ByteEncoder(), options, folder / "out", {3 - i, 4}, NoProgress());
    parts += report.parts;
    EXPECT_EQ(report.missing, report.all_parts - parts);
    EXPECT_GT(report.parts, 0);
  }
  TextEncoder none = ByteEncoder();
  none.encode = [](std::string_view) -> std::vector<std::int32_t> {
    Fail(ErrorKind::kCancelled, "not again");
  };
  Prepare({folder / "in"}, none, options, folder / "out", NoProgress());
  EXPECT_TRUE(Shards(folder / "out") == Shards(folder / "straight"));
  EXPECT_FALSE(fs::exists(folder / "out.work"));
}

TEST(Prepare, DoesNotReadItsOwnPartsWhereTheOutputLiesAmongTheInputs) {
  const TestFolder folder;
  WriteFile(folder / "in/a.txt", Text(1, 30));
  WriteFile(folder / "in/out.work/b.txt", Text(2, 30));
  PreparePart({folder / "in"}, ByteEncoder(), {}, folder / "in/out", {0, 1}, NoProgress());
  const ShareReport again =
      PreparePart({folder / "in"}, ByteEncoder(), {}, folder / "in/out", {0, 1}, NoProgress());
  EXPECT_EQ(again.all_parts, 1);
  std::int64_t parts = 0;
  for (const auto& entry : fs::directory_iterator(folder / "in/out.work"))
    parts += entry.path().extension() == ".json";
  EXPECT_EQ(parts, 1);
}

TEST(Prepare, IsAloneInItsWorkFolderButForShares) {
  const TestFolder folder;
  const auto corpus = WriteCorpus(folder, {30, 40, 50});
  const auto prepare = [&] { Prepare({corpus}, ByteEncoder(), {}, folder / "out", NoProgress()); };
  const auto part = [&] { PreparePart({corpus}, ByteEncoder(), {}, folder / "out", {0, 2}, NoProgress()); };
  {
    const FolderLock lock(folder / "out.work", FolderLock::Holders::kShared);
    EXPECT_EQ(KindOf(prepare), ErrorKind::kIo);
    part();
  }
  {
    const FolderLock lock(folder / "out.work");
    EXPECT_EQ(KindOf(part), ErrorKind::kIo);
  }
  prepare();
}

TEST(Prepare, NoticesADamagedPart) {
  const TestFolder folder;
  const auto corpus = WriteCorpus(folder, {30, 40, 50});
  for (const char* extension : {".tokens", ".documents"}) {
    PreparePart({corpus}, ByteEncoder(), {}, folder / "out", {0, 1}, NoProgress());
    for (const auto& entry : fs::directory_iterator(folder / "out.work")) {
      if (entry.path().extension() != extension) continue;
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(21);
      file.put('\x7F');
    }
    try {
      Prepare({corpus}, ByteEncoder(), {}, folder / "out", NoProgress());
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidFile);
      EXPECT_THAT(error.what(), HasSubstr(std::string(extension) + ": damaged"));
      EXPECT_THAT(error.what(), HasSubstr("and run the same command again"));
    }
    EXPECT_FALSE(fs::exists(folder / "out/train.lsd"));
    fs::remove_all(folder / "out.work");
  }
}

// As a disk without room.
TEST(Prepare, AFullDiskIsAnErrorAndLosesNoPart) {
  const TestFolder folder;
  std::string large;
  for (int i = 0; i < 400; ++i) large += Line(Text(i, 10'000));
  WriteFile(folder / "in/a.jsonl.zst", Zstd(Line(Text(-1, 40))));
  WriteFile(folder / "in/b.jsonl.zst", Zstd(large));
  PrepareOptions options;
  options.unit_bytes = 1;
  rlimit old{}, limit{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  limit = {1 << 20, old.rlim_max};
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &limit);
  const auto prepare = [&] {
    Prepare({folder / "in"}, ByteEncoder(), options, folder / "out", NoProgress());
  };
  const int threads = Threads();
  SetThreads(1);
  EXPECT_EQ(KindOf(prepare), ErrorKind::kIo);
  ::setrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, handler);
  EXPECT_FALSE(fs::exists(folder / "out"));
  std::set<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder / "out.work")) left.insert(entry.path().extension());
  EXPECT_THAT(left, UnorderedElementsAre("", ".json", ".tokens", ".documents"));
  prepare();
  SetThreads(threads);
  EXPECT_EQ(ShardSet::Open(folder / "out").train.documents(), 401);
}

TEST(Prepare, ExplainsAnEmptyResult) {
  const TestFolder folder;
  WriteFile(folder / "a.jsonl", "{\"content\": \"in another field\"}\n");
  try {
    Prepare({folder / "a.jsonl"}, ByteEncoder(), {}, folder / "out", NoProgress());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadOption);
    EXPECT_THAT(error.what(), HasSubstr("a.jsonl:1"));
    EXPECT_THAT(error.what(), HasSubstr("no field \"text\""));
  }
  EXPECT_FALSE(fs::exists(folder / "out" / "train.lsd"));
  EXPECT_FALSE(fs::exists(folder / "out.work"));
}

TEST(Prepare, KeepsTheRestWhereSomeCannotBeUsed) {
  const TestFolder folder;
  WriteFile(folder / "a.jsonl.zst", Zstd("{\"text\": \"cut off\"}\n").substr(0, 20));
  WriteFile(folder / "b.jsonl", "{\"text\": \"one\"}\n{\"text\": \"choke\"}\nno JSON\n{\"text\": \"two\"}\n");
  const PrepareReport report =
      Prepare({folder / "a.jsonl.zst", folder / "b.jsonl"}, Failing("choke", ErrorKind::kInternal), {},
              folder / "out", NoProgress());
  EXPECT_EQ(report.total.kept.documents, 2);
  EXPECT_EQ(report.skips.lines.count, 1);
  EXPECT_EQ(report.skips.documents.count, 1);
  EXPECT_EQ(report.skips.files.count, 1);
  EXPECT_EQ(report.skips.Summary(), "1 line, 1 document and 1 file");
  EXPECT_THAT(report.skips.documents.named[0].Text(), HasSubstr("b.jsonl:2: cannot be tokenised: stop"));
  EXPECT_EQ(ShardSet::Open(folder / "out").train.documents(), 2);
}

// Also in a piece of a file, which does not know its lines.
TEST(Prepare, StrictStopsAndNamesTheLine) {
  const TestFolder folder;
  std::string lines;
  for (int i = 0; i < 50; ++i) lines += Line(Text(i, 20)) + (i == 40 ? "no JSON\n" : "");
  WriteFile(folder / "a.jsonl", lines);
  PrepareOptions options;
  options.corpus.strict = true;
  for (const int unit : {100, 333, 1 << 20}) {
    options.unit_bytes = unit;
    try {
      Prepare({folder / "a.jsonl"}, ByteEncoder(), options, folder / "out", NoProgress());
      FAIL();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("a.jsonl:42: expected a JSON object")) << unit;
    }
  }
}

TEST(Prepare, RefusesImpossibleOptions) {
  const TestFolder folder;
  const auto corpus = WriteCorpus(folder, {10});
  const auto Kind = [&](PrepareOptions options) {
    return KindOf([&] { Prepare({corpus}, ByteEncoder(), options, folder / "out", NoProgress()); });
  };
  PrepareOptions range, slice, share;
  range.limits = {20, 10};
  slice.limits.slice = true;
  share.validation_share = 1;
  for (const PrepareOptions& options : {range, slice, share}) EXPECT_EQ(Kind(options), ErrorKind::kBadOption);
  EXPECT_EQ(KindOf([&] {
              PreparePart({corpus}, ByteEncoder(), {}, folder / "out", {3, 3}, NoProgress());
            }),
            ErrorKind::kBadOption);
}

}  // namespace
}  // namespace longspan
