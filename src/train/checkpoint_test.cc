#include "train/checkpoint.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "formats/gguf_writer.h"
#include "train/testing/toy.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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

const RunIdentity kRun{"rank 8 alpha 16", "a text", "a base"};

TEST(Checkpoint, BringsEverythingBack) {
  const TestFolder folder;
  const auto saved = Parameters(1);
  SaveCheckpoint(folder / "c.gguf", SomeState(), kRun, saved);
  auto loaded = Parameters(100);
  const TrainState state = LoadCheckpoint(folder / "c.gguf", kRun, loaded);
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

TEST(Checkpoint, MomentsInBytesComeBack) {
  const TestFolder folder;
  const auto make = [] {
    std::vector<Parameter> parameters;
    parameters.emplace_back("large", Tensor::FromRows(oracle::RandomMatrix(65, 64, 1)), true);
    parameters.emplace_back("small", Tensor::FromRows(oracle::RandomMatrix(3, 5, 2)), true);
    return parameters;
  };
  auto saved = make(), loaded = make();
  ASSERT_TRUE(saved[0].InBytes());
  EXPECT_FALSE(saved[1].InBytes());
  for (std::size_t i = 0; i < saved[0].byte_m.size(); ++i) {
    saved[0].byte_m[i] = static_cast<std::uint8_t>(i * 7);
    saved[0].byte_v[i] = static_cast<std::uint8_t>(i * 11 + 3);
  }
  for (std::size_t i = 0; i < saved[0].m_scales.size(); ++i)
    saved[0].v_scales[i] = 2 * (saved[0].m_scales[i] = 1.0f / static_cast<float>(i + 1));
  SaveCheckpoint(folder / "c.gguf", SomeState(), kRun, saved);
  LoadCheckpoint(folder / "c.gguf", kRun, loaded);
  EXPECT_EQ(loaded[0].byte_m, saved[0].byte_m);
  EXPECT_EQ(loaded[0].byte_v, saved[0].byte_v);
  EXPECT_EQ(loaded[0].m_scales, saved[0].m_scales);
  EXPECT_EQ(loaded[0].v_scales, saved[0].v_scales);
  // A flipped code is damage.
  std::string bytes = ReadFile(folder / "c.gguf");
  const std::size_t at = bytes.find(std::string{0, 7, 14, 21, 28, 35, 42, 49});
  ASSERT_NE(at, std::string::npos);
  bytes[at] ^= 1;
  WriteFile(folder / "c.gguf", bytes);
  EXPECT_EQ(KindOf([&] { LoadCheckpoint(folder / "c.gguf", kRun, loaded); }), ErrorKind::kInvalidFile);
  auto in_floats = std::vector<Parameter>();
  in_floats.emplace_back("large", Tensor::FromRows(oracle::RandomMatrix(65, 64, 1)));
  EXPECT_EQ(KindOf([&] { LoadCheckpoint(folder / "c.gguf", kRun, in_floats); }), ErrorKind::kInvalidFile);
}

TEST(Checkpoint, RefusesWhatIsNotItsOwn) {
  const TestFolder folder;
  const auto file = folder / "c.gguf";
  const auto saved = Parameters(1);
  SaveCheckpoint(file, SomeState(), kRun, saved);
  auto same = Parameters(1);
  std::vector<Parameter> larger;
  larger.push_back(Make("layers.0.q.a", 4, 8, 1));
  EXPECT_EQ(KindOf([&] { LoadCheckpoint(file, kRun, larger); }), ErrorKind::kInvalidFile);
  std::vector<Parameter> unknown;
  unknown.push_back(Make("layers.1.q.a", 4, 7, 1));
  EXPECT_EQ(KindOf([&] { LoadCheckpoint(file, kRun, unknown); }), ErrorKind::kInvalidFile);

  EXPECT_EQ(KindOf([&] { LoadCheckpoint(folder / "none.gguf", kRun, same); }), ErrorKind::kIo);
  GgufMetadata metadata;
  metadata.Set("general.type", "model");
  GgufWriter(folder / "model.gguf", metadata).Commit();
  EXPECT_EQ(KindOf([&] { LoadCheckpoint(folder / "model.gguf", kRun, same); }), ErrorKind::kInvalidFile);
}

TEST(Checkpoint, SaysWhatDiffersInAnotherRun) {
  const TestFolder folder;
  const auto file = folder / "c.gguf";
  auto parameters = Parameters(1);
  SaveCheckpoint(file, SomeState(), kRun, parameters);
  const auto refusal = [&](const RunIdentity& other) {
    EXPECT_EQ(KindOf([&] { LoadCheckpoint(file, other, parameters); }), ErrorKind::kBadOption);
    return ErrorOf([&] { LoadCheckpoint(file, other, parameters); });
  };
  const auto what = [](const std::string& differs) {
    return AllOf(HasSubstr("c.gguf"), HasSubstr("a run with " + differs + ";"),
                 HasSubstr("name another folder"), HasSubstr("remove the checkpoint"));
  };
  EXPECT_THAT(refusal({"rank 8 alpha 16", "changed", "a base"}), what("other text"));
  EXPECT_THAT(refusal({"rank 8 alpha 16", "a text", "changed"}), what("another base model"));
  EXPECT_THAT(refusal({"rank 9 alpha 16", "a text", "a base"}),
              what("other settings ('rank 8' there, 'rank 9' now)"));
  EXPECT_THAT(refusal({"rank 8 alpha 16 more", "a text", "a base"}),
              what("other settings ('16 (nothing)' there, '16 more' now)"));
  EXPECT_THAT(refusal({"", "changed", "changed"}),
              HasSubstr("another base model and other text and other settings"));
}

TEST(Checkpoint, TruncatedAnywhereIsAnError) {
  const TestFolder folder;
  SaveCheckpoint(folder / "c.gguf", SomeState(), kRun, Parameters(1));
  const std::string whole = ReadFile(folder / "c.gguf");
  // The last tensor ends 16 bytes before the file, which is padded to 32.
  for (std::size_t size = 0; size < whole.size() - 16; size += 23) {
    WriteFile(folder / "short.gguf", std::string_view(whole).substr(0, size));
    auto parameters = Parameters(1);
    EXPECT_THROW(LoadCheckpoint(folder / "short.gguf", kRun, parameters), Error) << size;
  }
}

// A flipped bit is an error, or it changes nothing: it is in the padding, or in a name that nobody reads.
TEST(Checkpoint, DamageIsAnErrorOrHarmless) {
  const TestFolder folder;
  const auto saved = Parameters(1);
  SaveCheckpoint(folder / "c.gguf", SomeState(), kRun, saved);
  const std::string whole = ReadFile(folder / "c.gguf");
  int errors = 0, loads = 0;
  for (std::size_t at = 0; at < whole.size(); at += 7) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    WriteFile(folder / "bad.gguf", damaged);
    auto parameters = Parameters(100);
    try {
      const TrainState state = LoadCheckpoint(folder / "bad.gguf", kRun, parameters);
      ++loads;
      EXPECT_EQ(state.step, SomeState().step) << at;
      EXPECT_EQ(state.log.ToJsonLines(), SomeState().log.ToJsonLines()) << at;
      for (std::size_t i = 0; i < saved.size(); ++i) {
        EXPECT_TRUE(std::ranges::equal(parameters[i].value.floats(), saved[i].value.floats())) << at;
        EXPECT_TRUE(std::ranges::equal(std::as_const(parameters[i].m).span(), saved[i].m.span())) << at;
      }
    } catch (const Error& error) {
      ++errors;
      EXPECT_THAT(error.what(), HasSubstr("bad.gguf"));
    }
  }
  EXPECT_GT(errors, 10 * loads);
}

TEST(Checkpoint, AStateThatCannotBeIsAnError) {
  const TestFolder folder;
  auto parameters = Parameters(1);
  TrainState state = SomeState();
  state.step = 3;  // which the log lacks
  SaveCheckpoint(folder / "c.gguf", state, kRun, parameters);
  EXPECT_EQ(KindOf([&] { LoadCheckpoint(folder / "c.gguf", kRun, parameters); }), ErrorKind::kInvalidFile);
  state.step = -1;
  state.log.points.clear();
  SaveCheckpoint(folder / "c.gguf", state, kRun, parameters);
  EXPECT_EQ(KindOf([&] { LoadCheckpoint(folder / "c.gguf", kRun, parameters); }), ErrorKind::kInvalidFile);
}

}  // namespace
}  // namespace longspan
