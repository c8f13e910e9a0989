#include "data/examples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "data/testing/byte_encoder.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using Tokens = std::vector<std::int32_t>;

constexpr std::int32_t kBos = 256, kEos = 257, kIgnore = Batch::kIgnore;

// Documents whose tokens tell where they are from: the first has 1000, 1001, ..., the second 2000, ...
Shard Numbered(const TestFolder& folder, const std::vector<int>& lengths) {
  std::vector<Tokens> documents;
  for (std::size_t d = 0; d < lengths.size(); ++d) {
    documents.emplace_back();
    const auto first = static_cast<std::int32_t>((d + 1) * 1000);
    for (int i = 0; i < lengths[d]; ++i) documents.back().push_back(first + i);
  }
  return MakeShard(folder / "numbered.lsd", documents, {1'000'000, kBos, kEos});
}

ExampleOptions Options(std::int64_t length) {
  ExampleOptions options;
  options.length = length;
  options.seed = 3;
  return options;
}

Tokens RowOf(const std::vector<std::int32_t>& values, const Batch& batch, std::int64_t row) {
  return {values.begin() + row * batch.length, values.begin() + (row + 1) * batch.length};
}

// A target is the next token of the same document, and never anything else.
void CheckTargets(const Batch& batch, bool skips_text = false) {
  for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
    const std::int32_t token = batch.tokens[i], target = batch.targets[i];
    if (token >= 1000 && target != kIgnore) {
      EXPECT_EQ(target, token + 1);
    }
    if (token == kEos) {
      EXPECT_EQ(target, kIgnore);
    }
    const bool last = (i + 1) % static_cast<std::size_t>(batch.length) == 0;
    if (token == kBos && !last && !skips_text) {
      EXPECT_EQ(target, batch.tokens[i + 1]);
    }
  }
}

TEST(Examples, CutsWindowsInOrderWithoutShuffling) {
  const TestFolder folder;
  ExampleOptions options = Options(5);
  options.shuffle = false;
  const Examples examples(Numbered(folder, {9, 2}), options);
  ASSERT_EQ(examples.size(), 3);
  const Batch batch = examples.Make(0, 3);
  EXPECT_THAT(batch.tokens, ElementsAre(kBos, 1000, 1001, 1002, 1003, kBos, 1004, 1005, 1006, 1007, kBos,
                                        2000, 2001, kEos, kEos));
  EXPECT_THAT(batch.targets, ElementsAre(1000, 1001, 1002, 1003, 1004, 1004, 1005, 1006, 1007, 1008, 2000,
                                         2001, kIgnore, kIgnore, kIgnore));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 0, 1));
  EXPECT_THAT(batch.documents, ElementsAre(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1));
  ExpectSameBatch(batch, examples.Make(3, 3));  // without shuffling, the next epoch is the same
}

TEST(Examples, EpochsDifferAndRepeat) {
  const TestFolder folder;
  const Shard shard = Numbered(folder, {50, 7, 33, 90, 12});
  for (const bool pack : {false, true}) {
    ExampleOptions options = Options(16);
    options.pack = pack;
    options.pose.emplace();
    options.pose->target_context = 200;
    const Examples examples(shard, options), again(shard, options);
    const std::int64_t n = examples.size();
    const Batch first = examples.Make(0, n), second = examples.Make(n, n);
    EXPECT_NE(first.tokens, second.tokens);
    EXPECT_NE(first.positions, second.positions);
    ExpectSameBatch(second, again.Make(n, n));  // without having seen the first
    // A batch across the epoch's end has the same rows.
    const Batch across = examples.Make(n - 2, 4);
    for (std::int64_t i = 0; i < 4; ++i) {
      const Batch& from = i < 2 ? first : second;
      const std::int64_t row = i < 2 ? n - 2 + i : i - 2;
      EXPECT_EQ(RowOf(across.tokens, across, i), RowOf(from.tokens, from, row));
      EXPECT_EQ(RowOf(across.positions, across, i), RowOf(from.positions, from, row));
    }
    CheckTargets(first);
    CheckTargets(second);
    ExampleOptions other = options;
    other.seed = 4;
    EXPECT_NE(Examples(shard, other).Make(0, n).tokens, first.tokens);
  }
}

TEST(Examples, SeesEveryShortDocumentEveryEpoch) {
  const TestFolder folder;
  const Examples examples(Numbered(folder, {5, 9, 3, 1}), Options(16));
  ASSERT_EQ(examples.size(), 4);
  for (int epoch = 0; epoch < 5; ++epoch) {
    const Batch batch = examples.Make(4 * epoch, 4);
    std::map<std::int32_t, int> count;
    for (const std::int32_t token : batch.tokens) count[token >= 1000 ? token / 1000 : -1] += 1;
    EXPECT_EQ(count[1], 5);
    EXPECT_EQ(count[2], 9);
    EXPECT_EQ(count[3], 3);
    EXPECT_EQ(count[4], 1);
  }
}

TEST(Examples, PacksDocumentsApart) {
  const TestFolder folder;
  ExampleOptions options = Options(12);
  options.pack = true;
  options.shuffle = false;
  const Examples examples(Numbered(folder, {3, 4, 20}), options);
  ASSERT_EQ(examples.size(), 2);
  const Batch batch = examples.Make(0, 2);
  EXPECT_THAT(RowOf(batch.tokens, batch, 0),
              ElementsAre(kBos, 1000, 1001, 1002, kBos, 2000, 2001, 2002, 2003, kEos, kEos, kEos));
  EXPECT_THAT(RowOf(batch.targets, batch, 0), ElementsAre(1000, 1001, 1002, kIgnore, 2000, 2001, 2002, 2003,
                                                          kIgnore, kIgnore, kIgnore, kIgnore));
  EXPECT_THAT(RowOf(batch.positions, batch, 0), ElementsAre(0, 1, 2, 3, 0, 1, 2, 3, 4, 0, 1, 2));
  EXPECT_THAT(RowOf(batch.documents, batch, 0), ElementsAre(0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2));
  EXPECT_THAT(RowOf(batch.tokens, batch, 1),
              ElementsAre(kBos, 3000, 3001, 3002, 3003, 3004, 3005, 3006, 3007, 3008, 3009, 3010));
  EXPECT_EQ(batch.targets.back(), 3011);
}

TEST(Examples, PackedRowsAreAlwaysAsManyAsPromised) {
  const TestFolder folder;
  Random random(9, 0, RandomPurpose::kTest);
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<int> lengths;
    for (std::int64_t i = 1 + random.Below(40); i > 0; --i)
      lengths.push_back(static_cast<int>(random.Below(60)));
    lengths.push_back(1);
    ExampleOptions options = Options(2 + random.Below(40));
    options.pack = true;
    const Examples examples(Numbered(folder, lengths), options);
    CheckTargets(examples.Make(0, 3 * examples.size()));
  }
}

// The trap: positions jump, and nothing else in the batch changes.
TEST(Examples, PoseChangesPositionsOnly) {
  const TestFolder folder;
  const Shard shard = Numbered(folder, {100, 40, 70});
  for (const bool pack : {false, true}) {
    ExampleOptions options = Options(32);
    options.pack = pack;
    const Batch plain = Examples(shard, options).Make(0, 6);
    for (const auto variant :
         {PoseOptions::Variant::kPaper, PoseOptions::Variant::kAxolotl, PoseOptions::Variant::kRandPos}) {
      options.pose.emplace();
      options.pose->variant = variant;
      options.pose->target_context = 4096;
      const Batch posed = Examples(shard, options).Make(0, 6);
      EXPECT_EQ(posed.tokens, plain.tokens);
      EXPECT_EQ(posed.targets, plain.targets);
      EXPECT_EQ(posed.documents, plain.documents);
      EXPECT_NE(posed.positions, plain.positions);
      EXPECT_GT(*std::max_element(posed.positions.begin(), posed.positions.end()), 1000);
    }
  }
}

TEST(Examples, SkippedTextKeepsItsTrueTargets) {
  const TestFolder folder;
  ExampleOptions options = Options(32);
  options.pose.emplace();
  options.pose->target_context = 512;
  options.pose->chunks = 3;
  options.pose->skip_text = true;
  const Examples examples(Numbered(folder, {900, 31}), options);
  const Batch batch = examples.Make(0, 4 * examples.size());
  CheckTargets(batch, true);
  int skips = 0;
  for (std::int64_t row = 0; row < batch.sequences; ++row) {
    const Tokens tokens = RowOf(batch.tokens, batch, row), positions = RowOf(batch.positions, batch, row);
    EXPECT_EQ(tokens[0], kBos);
    for (std::size_t i = 2; i < tokens.size(); ++i) {
      EXPECT_GT(tokens[i], tokens[i - 1]);
      EXPECT_GT(positions[i], positions[i - 1]);
      skips += tokens[i] != tokens[i - 1] + 1;
    }
  }
  EXPECT_GT(skips, batch.sequences / 2);
}

TEST(Examples, MixesRetrievalIn) {
  const TestFolder folder;
  std::vector<Tokens> documents;
  std::string book;
  while (book.size() < 20'000) book += "Words of a book, nothing more. ";
  documents.push_back(ByteEncoder().encode(book));
  ExampleOptions options = Options(700);
  options.retrieval_share = 0.25;
  options.pose.emplace();
  options.pose->target_context = 8192;
  const Examples examples(MakeShard(folder / "book.lsd", documents), options, ByteEncoder());
  const Batch batch = examples.Make(0, 4 * (examples.size() / 4));
  int retrieval = 0;
  for (std::int64_t row = 0; row < batch.sequences; ++row) {
    const std::string text = ByteText(RowOf(batch.tokens, batch, row));
    retrieval += text.find(" What is the ") != std::string::npos;
    std::int32_t last = 0;
    for (const std::int32_t document : RowOf(batch.documents, batch, row)) {
      EXPECT_GE(document, last);
      last = document;
    }
  }
  EXPECT_EQ(retrieval, batch.sequences / 4);
  EXPECT_LT(*std::max_element(batch.positions.begin(), batch.positions.end()), 8192);
  for (std::size_t i = 0; i + 1 < batch.tokens.size(); ++i) {
    if (batch.targets[i] != kIgnore && (i + 1) % 700 != 0 && batch.documents[i] == batch.documents[i + 1]) {
      EXPECT_EQ(batch.targets[i], batch.tokens[i + 1]);
    }
  }
}

TEST(Examples, EchoesEndWithoutABos) {
  const TestFolder folder;
  std::vector<Tokens> documents(3, Tokens(3000, 'x'));
  for (const std::int32_t bos : {-1, 256}) {
    const Shard shard = MakeShard(folder / "a.lsd", documents, {258, bos, 257, kByteFingerprint});
    TextEncoder encoder = ByteEncoder();
    encoder.bos = bos;
    for (std::int64_t length = 600; length < 620; ++length) {
      ExampleOptions options = Options(length);
      options.retrieval_share = 1;
      options.echo_share = 1;
      options.add_bos = bos >= 0;
      EXPECT_EQ(Examples(shard, options, encoder).Make(0, 4).size(), 4 * length);
    }
  }
}

// Empty documents are in no row, so their BOS must not be counted.
TEST(Examples, PackedRowsBearEmptyDocuments) {
  const TestFolder folder;
  ExampleOptions options = Options(8);
  options.pack = true;
  const Examples examples(Numbered(folder, {0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0}),
                          options);
  EXPECT_EQ(examples.size(), 1);  // of 8 tokens and the BOS of two documents
  CheckTargets(examples.Make(0, 20));
}

TEST(Examples, ABatchKnowsItsTextTokens) {
  const TestFolder folder;
  for (const bool pack : {false, true}) {
    ExampleOptions options = Options(10);
    options.pack = pack;
    const Examples examples(Numbered(folder, {4, 9, 2}), options);
    const Batch batch = examples.Make(0, examples.size());
    std::int64_t real = 0;
    for (const std::int32_t token : batch.tokens) real += token != kEos;  // EOS is the padding here
    EXPECT_EQ(batch.text_tokens(), real);
    EXPECT_GT(batch.padding, 0);
  }
}

TEST(Examples, RefusesImpossibleOptions) {
  const TestFolder folder;
  const Shard shard = Numbered(folder, {100});
  const auto Kind = [&](const ExampleOptions& options) { return KindOf([&] { Examples(shard, options); }); };
  ExampleOptions options = Options(1);
  EXPECT_EQ(Kind(options), ErrorKind::kBadOption);
  options = Options(64);
  options.pose.emplace();
  options.pose->target_context = 32;
  EXPECT_EQ(Kind(options), ErrorKind::kBadOption);
  options = Options(64);
  options.retrieval_share = 0.5;
  EXPECT_EQ(Kind(options), ErrorKind::kBadOption);  // no tokenizer
  EXPECT_EQ(KindOf([&] { Examples(Numbered(folder, {0}), Options(8)); }), ErrorKind::kBadOption);
  // Another tokenizer than the shard's, with the same number of tokens.
  TextEncoder other = ByteEncoder();
  other.fingerprint += 1;
  const Shard bytes = MakeShard(folder / "bytes.lsd", {Tokens(900, 'x')});
  options = Options(700);
  options.retrieval_share = 0.5;
  EXPECT_EQ(KindOf([&] { Examples(bytes, options, other); }), ErrorKind::kBadOption);
}

}  // namespace
}  // namespace longspan
