#include "eval/logits_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/random.h"
#include "base/testing/temporary_folder.h"
#include "eval/comparison.h"
#include "eval/kld.h"
#include "eval/likelihood.h"
#include "infer/testing/fake_sequence.h"

namespace longspan {
namespace {

using testing::HasSubstr;

// Predictions that depend on the last two tokens, sharper or flatter by `sharpness`, with much between a
// certainty and e^-16.
FakeSequence Model(double sharpness, std::int64_t vocab_size = 21) {
  return FakeSequence(vocab_size, [=](std::span<const std::int32_t> tokens, std::span<float> logits) {
    const auto seed =
        static_cast<std::uint64_t>(tokens.back() * 64 + (tokens.size() > 1 ? tokens[tokens.size() - 2] : 0));
    Random random(1, seed, RandomPurpose::kTest);
    for (float& x : logits) x = static_cast<float>(sharpness) * 5 * random.Normal() + 3;
  });
}

TokenDocument Text(std::int64_t tokens, std::uint64_t seed) {
  Random random(seed, 0, RandomPurpose::kTest);
  TokenDocument document;
  for (std::int64_t i = 0; i < tokens; ++i) document.push_back(static_cast<std::int32_t>(random.Below(20)));
  return document;
}

class LogitsFileTest : public testing::Test {
 protected:
  std::string Error(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary) << bytes;
    try {
      const LogitsFile file(path_);
      for (std::int64_t i = 0; i < file.shape().rows(); ++i) file.Row(i);
    } catch (const longspan::Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInvalidFile) << e.what();
      EXPECT_THAT(e.what(), HasSubstr(path_.string()));
      return e.what();
    }
    return "";
  }

  TestFolder folder_;
  const std::filesystem::path path_ = folder_ / "base.kld";
  const std::vector<TokenDocument> documents_{Text(300, 1), Text(1000, 2)};
};

// Bytes written by hand, as llama-perplexity lays them out: a chunk of 4, of which one row is kept, and three
// tokens.
std::string ByHand() {
  std::string bytes = "_logits_";
  const auto add = [&](auto value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof(value)); };
  for (const std::int32_t n : {4, 3, 1}) add(n);
  for (const std::int32_t token : {2, 0, 1, 2}) add(token);
  add(2.0f / 65535);                                                                    // scale
  add(-3.0f);                                                                           // minimum
  for (const int value : {65535, 0, 32767, 7}) add(static_cast<std::uint16_t>(value));  // the last fills up
  return bytes;
}

TEST_F(LogitsFileTest, ReadsLlamaCppsLayout) {
  std::ofstream(path_, std::ios::binary) << ByHand();
  const LogitsFile file(path_);
  EXPECT_EQ(file.shape().context, 4);
  EXPECT_EQ(file.shape().vocab_size, 3);
  EXPECT_EQ(file.shape().rows(), 1);
  EXPECT_THAT(file.Chunk(0), testing::ElementsAre(2, 0, 1, 2));
  const LogProbabilities row = file.Row(0);
  EXPECT_NEAR(row[0], -1, 1e-6);
  EXPECT_NEAR(row[1], -3, 1e-6);
  EXPECT_NEAR(row[2], -2, 1e-4);
}

TEST_F(LogitsFileTest, WritesLlamaCppsLayout) {
  const std::vector<std::int32_t> tokens{2, 0, 1, 2};
  LogitsWriter writer(path_, {4, 3, 1}, tokens);
  Matrix logits(1, 3);
  logits[0][0] = 7;
  logits[0][1] = -30;  // too far down to be told from -9
  logits[0][2] = 5;
  writer.Write(logits);
  writer.Commit();
  const LogitsFile file(path_);
  const LogProbabilities row = file.Row(0);
  const double total = std::log(std::exp(7.0) + std::exp(5.0));
  EXPECT_NEAR(row[0], 7 - total, 1e-5);
  EXPECT_NEAR(row[1], -9 - total, 1e-5);
  EXPECT_NEAR(row[2], 5 - total, 2e-4);
  EXPECT_EQ(row.values[0], 65535);
  EXPECT_EQ(row.values[1], 0);
  EXPECT_EQ(std::filesystem::file_size(path_), ByHand().size());
}

TEST_F(LogitsFileTest, ARowOfEqualLogitsHasNoSteps) {
  const std::vector<std::int32_t> tokens{0, 0, 1, 1};
  LogitsWriter writer(path_, {4, 2, 1}, tokens);
  writer.Write(Matrix(1, 2));
  writer.Commit();
  const LogitsFile file(path_);
  EXPECT_NEAR(file.Row(0)[1], std::log(0.5), 1e-6);
}

TEST_F(LogitsFileTest, SaysWhatIsWrong) {
  const std::string good = ByHand();
  EXPECT_EQ(Error(good), "");
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_NE(Error(good.substr(0, size)), "") << size;
  EXPECT_THAT(Error(good + "x"), HasSubstr("bytes remain, expected"));
  EXPECT_THAT(Error("GGUF" + good.substr(4)), HasSubstr("_logits_"));
  const auto with = [&](std::size_t at, auto value) {
    std::string bent = good;
    std::memcpy(bent.data() + at, &value, sizeof(value));
    return Error(bent);
  };
  EXPECT_THAT(with(8, std::int32_t{-4}), HasSubstr("context is -4"));
  EXPECT_THAT(with(8, std::int32_t{2}), HasSubstr("context is 2"));
  EXPECT_THAT(with(12, std::int32_t{0}), HasSubstr("vocabulary size is 0"));
  EXPECT_THAT(with(12, std::int32_t{0x7fffffff}), HasSubstr("bytes remain, expected"));
  EXPECT_THAT(with(16, std::int32_t{0x7fffffff}), HasSubstr("bytes remain, expected"));
  EXPECT_THAT(with(20, std::int32_t{3}), HasSubstr("token 3"));
  EXPECT_THAT(with(24, std::int32_t{-1}), HasSubstr("token -1"));
  EXPECT_THAT(with(36, std::nanf("")), HasSubstr("row 0"));
  EXPECT_THAT(with(36, 1.0f), HasSubstr("row 0"));
  EXPECT_THAT(with(40, -INFINITY), HasSubstr("row 0"));
  EXPECT_THAT(with(40, 5.0f), HasSubstr("row 0"));
  // All three dimensions at their largest: no product may wrap.
  std::string huge = good;
  for (std::size_t at = 8; at < 20; ++at) huge[at] = at % 4 == 3 ? '\x7f' : '\xff';
  EXPECT_NE(Error(huge), "");
}

TEST_F(LogitsFileTest, ComparingWithTheFileIsComparingWithTheModel) {
  for (const std::optional<std::int32_t> bos :
       {std::optional<std::int32_t>(20), std::optional<std::int32_t>()}) {
    FakeSequence reference = Model(1), model = Model(0.8);
    const KldOptions options{.context = 128};
    const SavedLogits saved = SaveLogits(reference, documents_, bos, options, path_);
    const LogitsFile file(path_);
    const KldResult want = MeasureKld(model, reference, documents_, bos, options);
    const KldResult got = MeasureKld(model, file, bos, {});
    EXPECT_EQ(saved.tokens, want.tokens);
    EXPECT_EQ(got.tokens, want.tokens);
    EXPECT_NEAR(saved.perplexity, want.reference_perplexity, 1e-9 * saved.perplexity);
    EXPECT_GT(want.mean, 0.01);
    EXPECT_NEAR(got.mean, want.mean, 1e-5);
    EXPECT_NEAR(got.standard_error, want.standard_error, 1e-5);
    EXPECT_NEAR(got.median, want.median, 3e-4);
    EXPECT_NEAR(got.p999, want.p999, 3e-4);
    EXPECT_NEAR(got.max, want.max, 3e-4);
    EXPECT_EQ(got.same_top, want.same_top);
    EXPECT_NEAR(got.rms_delta_p, want.rms_delta_p, 1e-5);
    EXPECT_NEAR(got.mean_delta_p.value, want.mean_delta_p.value, 1e-5);
    // Now and then the true token is one that the file does not tell from the least likely ones.
    EXPECT_NEAR(got.perplexity, want.perplexity, 1e-9 * want.perplexity);
    EXPECT_LT(got.reference_perplexity, want.reference_perplexity * 1.001);

    const KldResult itself = MeasureKld(reference, file, bos, {});
    EXPECT_NEAR(itself.mean, 0, 1e-5);
    EXPECT_EQ(itself.same_top, 1);
  }
}

TEST_F(LogitsFileTest, ChunksAreLlamaCppsStream) {
  FakeSequence reference = Model(1);
  SaveLogits(reference, {&documents_[0], 1}, 20, {.context = 100}, path_);
  const LogitsFile file(path_);
  ASSERT_EQ(file.shape().chunks, 3);
  TokenDocument stream{20};
  stream.insert(stream.end(), documents_[0].begin(), documents_[0].end());
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(std::ranges::equal(file.Chunk(i), std::span(stream).subspan(100 * i, 100))) << i;
  }
}

TEST_F(LogitsFileTest, LimitsAreOfTokens) {
  FakeSequence reference = Model(1), model = Model(0.9);
  // Chunks of 63 tokens each.
  EXPECT_EQ(SaveLogits(reference, documents_, 20, {.context = 128, .max_tokens = 200}, path_).chunks, 3);
  const LogitsFile file(path_);
  EXPECT_EQ(MeasureKld(model, file, 20, {.max_tokens = 100}).tokens, 100);
  EXPECT_EQ(MeasureKld(model, file, 20, {.max_tokens = 1000}).tokens, 189);
  EXPECT_THROW(SaveLogits(reference, documents_, 20, {.context = 128, .max_tokens = 20}, path_),
               longspan::Error);
  FakeSequence other = Model(1, 22);
  EXPECT_THROW(MeasureKld(other, file, 20, {}), longspan::Error);
}

TEST_F(LogitsFileTest, NothingIsLeftOfAnInterruptedRun) {
  FakeSequence broken(21, [n = 0](std::span<const std::int32_t>, std::span<float> logits) mutable {
    std::ranges::fill(logits, ++n > 100 ? std::nanf("") : 0.0f);
  });
  EXPECT_THROW(SaveLogits(broken, documents_, 20, {.context = 128}, path_), longspan::Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

}  // namespace
}  // namespace longspan
