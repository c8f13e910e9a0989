#include "train/checkpoint.h"

#include "base/file.h"
#include "formats/gguf_writer.h"
#include "train/testing/toy.h"

namespace longspan {
namespace {

Parameter Make(const std::string& name, std::int64_t rows, std::int64_t cols, std::uint64_t stream) {
  Parameter p(name, Tensor::FromRows(oracle::RandomMatrix(rows, cols, stream)));
  p.m = oracle::RandomMatrix(rows, cols, stream + 1);
  p.v = oracle::RandomMatrix(rows, cols, stream + 2);
  return p;
}

std::vector<Parameter> Parameters(std::uint64_t stream) {
  std::vector<Parameter> parameters;
  parameters.push_back(Make("layers.0.q.a", 4, 7, stream));
  parameters.push_back(Make("layers.0.q.b", 5, 4, stream + 10));
  return parameters;
}

TrainState SomeState() {
  TrainState state;
  state.step = 2;
  state.tokens = 96;
  state.seconds = 0.1;
  state.log.points = {{1, 48, 4.1, 0.1, 2.5, 0.04, {}}, {2, 96, 1.0 / 3, 0.2, 1e-9, 0.1, 3.25}};
  return state;
}

TEST(Checkpoint, BringsEverythingBack) {
  const TestFolder folder;
  const auto saved = Parameters(1);
  SaveCheckpoint(folder / "c.gguf", SomeState(), "a run", saved);
  auto loaded = Parameters(100);
  const TrainState state = LoadCheckpoint(folder / "c.gguf", "a run", loaded);
  EXPECT_EQ(state.step, 2);
  EXPECT_EQ(state.tokens, 96);
  EXPECT_EQ(state.seconds, 0.1);
  EXPECT_EQ(state.log.ToJsonLines(), SomeState().log.ToJsonLines());
  for (std::size_t i = 0; i < saved.size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(loaded[i].value.floats(), saved[i].value.floats()));
    EXPECT_TRUE(std::ranges::equal(std::as_const(loaded[i].m).span(), saved[i].m.span()));
    EXPECT_TRUE(std::ranges::equal(std::as_const(loaded[i].v).span(), saved[i].v.span()));
  }
}

TEST(Checkpoint, RefusesWhatIsNotItsOwn) {
  const TestFolder folder;
  const auto file = folder / "c.gguf";
  const auto saved = Parameters(1);
  SaveCheckpoint(file, SomeState(), "a run", saved);
  auto same = Parameters(1);
  EXPECT_EQ(KindOf([&] { LoadCheckpoint(file, "another run", same); }), ErrorKind::kBadOption);

  std::vector<Parameter> larger;
  larger.push_back(Make("layers.0.q.a", 4, 8, 1));
  EXPECT_EQ(KindOf([&] { LoadCheckpoint(file, "a run", larger); }), ErrorKind::kInvalidFile);
  std::vector<Parameter> unknown;
  unknown.push_back(Make("layers.1.q.a", 4, 7, 1));
  EXPECT_EQ(KindOf([&] { LoadCheckpoint(file, "a run", unknown); }), ErrorKind::kInvalidFile);

  EXPECT_EQ(KindOf([&] { LoadCheckpoint(folder / "none.gguf", "a run", same); }), ErrorKind::kIo);
  GgufMetadata metadata;
  metadata.Set("general.type", "model");
  GgufWriter(folder / "model.gguf", metadata).Commit();
  EXPECT_EQ(KindOf([&] { LoadCheckpoint(folder / "model.gguf", "a run", same); }), ErrorKind::kInvalidFile);
}

TEST(Checkpoint, TruncatedAnywhereIsAnError) {
  const TestFolder folder;
  SaveCheckpoint(folder / "c.gguf", SomeState(), "a run", Parameters(1));
  const std::string whole = ReadFile(folder / "c.gguf");
  // The last tensor ends 16 bytes before the file, which is padded to 32.
  for (std::size_t size = 0; size < whole.size() - 16; size += 23) {
    WriteFile(folder / "short.gguf", std::string_view(whole).substr(0, size));
    auto parameters = Parameters(1);
    EXPECT_THROW(LoadCheckpoint(folder / "short.gguf", "a run", parameters), Error) << size;
  }
}

TEST(Checkpoint, DamagedAnywhereIsAnErrorOrOtherNumbers) {
  const TestFolder folder;
  SaveCheckpoint(folder / "c.gguf", SomeState(), "a run", Parameters(1));
  const std::string whole = ReadFile(folder / "c.gguf");
  for (std::size_t at = 0; at < whole.size(); at += 17) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    WriteFile(folder / "bad.gguf", damaged);
    auto parameters = Parameters(1);
    try {
      LoadCheckpoint(folder / "bad.gguf", "a run", parameters);
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace longspan
