#include "train/train_data.h"

#include <gmock/gmock.h>

#include "train/testing/toy.h"

namespace longspan {
namespace {

ShardSet MakeShards(const TestFolder& folder, bool validation = true) {
  std::vector<std::vector<std::int32_t>> train(6), held_out(3);
  for (std::size_t i = 0; i < train.size(); ++i) {
    for (std::int32_t t = 0; t < 40; ++t) train[i].push_back(static_cast<std::int32_t>(i) * 40 + t);
  }
  for (auto& document : held_out) document.assign(20, 250);
  ShardSet shards{MakeShard(folder / "train.lsd", train), {}};
  if (validation) shards.validation = MakeShard(folder / "validation.lsd", held_out);
  return shards;
}

ExampleOptions Windows() {
  ExampleOptions options;
  options.length = 16;
  options.seed = 3;
  return options;
}

TEST(TrainDataOfShards, GivesTheShardsExamples) {
  const TestFolder folder;
  const ShardSet shards = MakeShards(folder);
  const TextEncoder encoder = ByteEncoder();
  TrainOptions options;
  options.batch_size = 2;
  const TrainData data = MakeTrainData(shards, Windows(), options, encoder);
  const Examples examples(shards.train, Windows());
  EXPECT_EQ(data.examples_per_epoch, examples.size());
  for (const std::int64_t first : {0, 5, 100}) {
    ExpectSameBatch(data.examples(first, 3), examples.Make(first, 3));
  }
}

TEST(TrainDataOfShards, ValidationIsHeldOutTextInBatches) {
  const TestFolder folder;
  const ShardSet shards = MakeShards(folder);
  const TextEncoder encoder = ByteEncoder();
  TrainOptions options;
  options.batch_size = 2;
  const TrainData all = MakeTrainData(shards, Windows(), options, encoder);
  ASSERT_EQ(all.validation.size(), 2u);
  EXPECT_EQ(all.validation[0].sequences, 2);
  EXPECT_EQ(all.validation[1].sequences, 1);
  for (const Batch& batch : all.validation) {
    for (const std::int32_t token : batch.tokens) EXPECT_TRUE(token == 250 || token == 256);
  }
  options.eval_examples = 1;
  EXPECT_EQ(MakeTrainData(shards, Windows(), options, encoder).validation.size(), 1u);
  options.eval_examples = 0;
  EXPECT_TRUE(MakeTrainData(shards, Windows(), options, encoder).validation.empty());
  options.eval_examples = 8;
  EXPECT_TRUE(MakeTrainData(MakeShards(folder, false), Windows(), options, encoder).validation.empty());
}

// Two sets with the same numbers of documents and tokens, but different text.
TEST(TrainDataOfShards, KnowsItsText) {
  const TestFolder a, b;
  const TextEncoder encoder = ByteEncoder();
  const ShardSet shards = MakeShards(a), same = MakeShards(b);
  const std::string content = MakeTrainData(shards, Windows(), {}, encoder).content;
  EXPECT_EQ(MakeTrainData(same, Windows(), {}, encoder).content, content);
  const TestFolder c;
  std::vector<std::vector<std::int32_t>> documents;
  for (std::int64_t i = 0; i < shards.train.documents(); ++i)
    documents.push_back(shards.train.ReadDocument(i));
  documents[4][39] += 1;
  const ShardSet other{MakeShard(c / "train.lsd", documents), shards.validation};
  EXPECT_NE(MakeTrainData(other, Windows(), {}, encoder).content, content);
}

TEST(TrainDataOfShards, CountsPadding) {
  const TestFolder folder;
  const TextEncoder encoder = ByteEncoder();
  const ShardSet shards{MakeShard(folder / "train.lsd", {std::vector<std::int32_t>(9, 'x')}), {}};
  const Batch batch = MakeTrainData(shards, Windows(), {}, encoder).examples(0, 2);
  EXPECT_EQ(batch.text_tokens(), 2 * (1 + 9));  // with BOS
  EXPECT_EQ(batch.padding, 2 * 6);
}

TEST(TrainDataOfShards, ValidationHidesNoPasskeys) {
  const TestFolder folder;
  const TextEncoder encoder = ByteEncoder();
  std::vector<std::vector<std::int32_t>> documents(2, std::vector<std::int32_t>(900, 'x'));
  const ShardSet shards{MakeShard(folder / "train.lsd", documents),
                        MakeShard(folder / "validation.lsd", documents)};
  ExampleOptions options;
  options.length = 600;
  options.retrieval_share = 1;
  const TrainData data = MakeTrainData(shards, options, TrainOptions(), encoder);
  EXPECT_NE(std::ranges::count(data.examples(0, 1).tokens, 'x'), 599);
  ASSERT_FALSE(data.validation.empty());
  EXPECT_EQ(std::ranges::count(data.validation[0].tokens, 'x'), 599);
}

class Messages : public Progress {
 public:
  void Message(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

TEST(TrainDataOfShards, SaysWhatDistancesAreTaught) {
  const TestFolder folder;
  const TextEncoder encoder = ByteEncoder();
  ExampleOptions options = Windows();
  options.pose = PoseOptions{};
  options.pose->target_context = 64;
  Messages messages;
  ReportDistances(MakeTrainData(MakeShards(folder), options, {}, encoder), *options.pose, messages);
  ASSERT_FALSE(messages.lines.empty());
  EXPECT_THAT(messages.lines[0], testing::HasSubstr("skip positions"));
}

// A target of the window's own length: the run would end, and have taught nothing about distance.
TEST(TrainDataOfShards, PositionsThatNeverSkipAreAnError) {
  const TestFolder folder;
  const TextEncoder encoder = ByteEncoder();
  ExampleOptions options = Windows();
  options.pose = PoseOptions{};
  options.pose->target_context = options.length;
  const TrainData data = MakeTrainData(MakeShards(folder), options, {}, encoder);
  EXPECT_EQ(KindOf([&] { ReportDistances(data, *options.pose, NoProgress()); }), ErrorKind::kBadOption);
  options.pose->unmodified_share = 1;  // asked for
  EXPECT_NO_THROW(ReportDistances(data, *options.pose, NoProgress()));
}

}  // namespace
}  // namespace longspan
