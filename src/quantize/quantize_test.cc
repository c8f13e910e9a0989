#include "quantize/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "quantize/importance.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

class RecordedProgress : public Progress {
 public:
  void Message(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

class QuantizeFileTest : public testing::Test {
 protected:
  fs::path Path(const char* name) const { return folder_ / name; }

  // A one-layer model in F32: two matrices, a norm and a table of integers. `bad` lands in ffn_down.
  fs::path WriteModel(std::int64_t dim, float bad = 0) const {
    GgufMetadata metadata;
    metadata.Set("general.architecture", "llama");
    metadata.Set("general.file_type", std::uint32_t{0});
    metadata.Set("llama.block_count", std::uint32_t{1});
    const fs::path path = Path("in.gguf");
    GgufWriter writer(path, std::move(metadata));
    writer.Declare("token_embd.weight", Type::kF32, {64, dim});
    writer.Declare("blk.0.ffn_down.weight", Type::kF32, {dim, dim});
    writer.Declare("blk.0.ffn_norm.weight", Type::kF32, {dim});
    writer.Declare("extra.ids", Type::kI32, {8});
    Random random(3, 0, RandomPurpose::kTest);
    const auto gaussian = [&](std::int64_t n) {
      std::vector<float> x(static_cast<std::size_t>(n));
      for (float& value : x) value = random.Normal();
      return x;
    };
    writer.Write("token_embd.weight", std::as_bytes(std::span<const float>(gaussian(64 * dim))));
    std::vector<float> down = gaussian(dim * dim);
    if (bad != 0) down[3 * dim + 7] = bad;
    writer.Write("blk.0.ffn_down.weight", std::as_bytes(std::span(down)));
    writer.Write("blk.0.ffn_norm.weight", std::as_bytes(std::span<const float>(gaussian(dim))));
    const std::vector<std::int32_t> ids{1, -2, 3, -4, 5, -6, 7, -8};
    writer.Write("extra.ids", std::as_bytes(std::span(ids)));
    writer.Commit();
    return path;
  }

 private:
  TestFolder folder_;
};

TEST_F(QuantizeFileTest, WritesWhatTheMixSays) {
  const fs::path in = WriteModel(256), out = Path("out.gguf");
  const QuantizeReport report = QuantizeFile(in, out, FindMix("Q4_K_S"), {}, NoProgress());

  const auto before = GgufFile::Open(in), after = GgufFile::Open(out);
  EXPECT_EQ(after->Get<std::uint32_t>("general.file_type"), 14u);
  EXPECT_EQ(after->Get<std::uint32_t>("general.quantization_version"), 2u);
  EXPECT_EQ(after->Get<std::string>("general.architecture"), "llama");
  EXPECT_EQ(after->FindTensor("token_embd.weight")->type, Type::kQ6_K);
  EXPECT_EQ(after->FindTensor("token_embd.weight")->shape, (std::vector<std::int64_t>{64, 256}));
  EXPECT_EQ(after->FindTensor("blk.0.ffn_norm.weight")->type, Type::kF32);
  const Tensor norm_before = before->LoadTensor("blk.0.ffn_norm.weight");
  const Tensor norm_after = after->LoadTensor("blk.0.ffn_norm.weight");
  EXPECT_TRUE(std::ranges::equal(norm_before.bytes(), norm_after.bytes()));
  EXPECT_TRUE(
      std::ranges::equal(before->FindTensor("extra.ids")->bytes, after->FindTensor("extra.ids")->bytes));

  // The report's error is the file's.
  const Tensor x = before->LoadTensor("token_embd.weight"),
               y = after->LoadTensor("token_embd.weight").ToF32();
  double error = 0, power = 0;
  for (std::size_t i = 0; i < x.floats().size(); ++i) {
    error += std::pow(double{x.floats()[i]} - y.floats()[i], 2);
    power += std::pow(double{x.floats()[i]}, 2);
  }
  EXPECT_NEAR(report.types.at(Type::kQ6_K).RelativeError(), std::sqrt(error / power), 1e-9);
  EXPECT_EQ(report.types.at(Type::kF32).RelativeError(), 0);
  EXPECT_EQ(report.elements, 64 * 256 + 256 * 256 + 256 + 8);
  EXPECT_EQ(report.bytes_before, 4 * report.elements);
  EXPECT_EQ(report.bytes_after, 64 * 210 + 256 * 144 + 4 * 256 + 4 * 8);
  EXPECT_NEAR(report.BitsPerWeight(), 8.0 * report.bytes_after / report.elements, 1e-12);
}

TEST_F(QuantizeFileTest, FallsBackAndSaysSo) {
  RecordedProgress progress;
  const fs::path in = WriteModel(96);
  QuantizeFile(in, Path("out.gguf"), FindMix("Q4_K_M"), {}, progress);
  const auto after = GgufFile::Open(Path("out.gguf"));
  EXPECT_EQ(after->FindTensor("token_embd.weight")->type, Type::kQ8_0);
  EXPECT_EQ(after->FindTensor("blk.0.ffn_down.weight")->type, Type::kQ8_0);
  ASSERT_EQ(progress.lines.size(), 1u);
  EXPECT_THAT(progress.lines[0], testing::HasSubstr("Q8_0 instead of Q6_K for 2 tensors"));
}

TEST_F(QuantizeFileTest, NotANumberNamesTheTensor) {
  for (const float bad : {NAN, INFINITY}) {
    const fs::path in = WriteModel(256, bad);
    for (const char* mix : {"Q4_K_M", "Q8_0", "F16", "F32"}) {
      try {
        QuantizeFile(in, Path("out.gguf"), FindMix(mix), {}, NoProgress());
        FAIL() << mix;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kInvalidFile);
        EXPECT_THAT(error.what(), testing::HasSubstr("in.gguf: tensor blk.0.ffn_down.weight: "));
        EXPECT_THAT(error.what(), testing::HasSubstr(std::isnan(bad) ? "1 NaN" : "1 infinite"));
        EXPECT_THAT(error.what(), testing::HasSubstr("row 3, column 7"));
      }
      EXPECT_FALSE(fs::exists(Path("out.gguf")));
    }
  }
}

TEST_F(QuantizeFileTest, ValuesThatATypeCannotHoldAreClippedOnlyWhereAsked) {
  const fs::path in = WriteModel(256, 1e6f), out = Path("out.gguf");
  QuantizeOptions options;
  for (const char* mix : {"F16", "Q8_0", "Q4_K_M"}) {
    EXPECT_THAT(ErrorOf([&] { QuantizeFile(in, out, FindMix(mix), options, NoProgress()); }),
                testing::HasSubstr("tensor blk.0.ffn_down.weight: "))
        << mix;
    EXPECT_FALSE(fs::exists(out));
  }
  QuantizeFile(in, out, FindMix("BF16"), options, NoProgress());
  EXPECT_EQ(GgufFile::Open(out)->LoadTensor("blk.0.ffn_down.weight").ToF32().AsRows().at(3, 7), 999424);
  options.too_large = TooLarge::kClip;
  RecordedProgress progress;
  QuantizeFile(in, out, FindMix("F16"), options, progress);
  EXPECT_EQ(GgufFile::Open(out)->LoadTensor("blk.0.ffn_down.weight").ToF32().AsRows().at(3, 7), 65504);
  ASSERT_EQ(progress.lines.size(), 1u);
  EXPECT_EQ(progress.lines[0],
            "tensor blk.0.ffn_down.weight: 1 value beyond 65504 became 65504, the largest that F16 holds");
  EXPECT_THROW(QuantizeFile(WriteModel(256, NAN), out, FindMix("F16"), options, NoProgress()), Error);
}

TEST_F(QuantizeFileTest, QuantisesTwiceOnlyWhereAsked) {
  const fs::path once = Path("once.gguf"), twice = Path("twice.gguf");
  QuantizeFile(WriteModel(256), once, FindMix("Q8_0"), {}, NoProgress());
  QuantizeOptions options;
  try {
    QuantizeFile(once, twice, FindMix("Q4_K_M"), options, NoProgress());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadOption);
    EXPECT_THAT(error.what(), testing::HasSubstr("already Q8_0"));
  }
  options.allow_requantize = true;
  QuantizeFile(once, twice, FindMix("Q4_K_M"), options, NoProgress());
  EXPECT_EQ(GgufFile::Open(twice)->FindTensor("token_embd.weight")->type, Type::kQ6_K);
  // The same type again is a copy; and F32 loses nothing.
  QuantizeFile(once, twice, FindMix("Q8_0"), {}, NoProgress());
  EXPECT_TRUE(std::ranges::equal(GgufFile::Open(once)->FindTensor("token_embd.weight")->bytes,
                                 GgufFile::Open(twice)->FindTensor("token_embd.weight")->bytes));
  const QuantizeReport report = QuantizeFile(once, twice, FindMix("F32"), {}, NoProgress());
  EXPECT_EQ(report.types.at(Type::kF32).squared_error, 0);
}

// A matrix made for other names must not be ignored, because the file would then claim to be made with it.
TEST_F(QuantizeFileTest, AMatrixOfOtherNamesIsNotIgnored) {
  const fs::path in = WriteModel(256);
  ImportanceMatrix matrix;
  matrix.Add("model.layers.0.mlp.down_proj", std::vector<double>(256, 1.0), 4);
  QuantizeOptions options;
  options.importance = &matrix;
  EXPECT_THAT(
      ErrorOf([&] { QuantizeFile(in, Path("out.gguf"), FindMix("Q4_K_M"), options, NoProgress()); }),
      testing::AllOf(testing::HasSubstr("none of its 1 entries"), testing::HasSubstr("token_embd.weight"),
                     testing::HasSubstr("model.layers.0.mlp.down_proj")));
  EXPECT_FALSE(fs::exists(Path("out.gguf")));

  matrix.Add("blk.0.ffn_down.weight", std::vector<double>(256, 1.0), 4);
  RecordedProgress progress;
  QuantizeFile(in, Path("out.gguf"), FindMix("Q4_K_M"), options, progress);
  EXPECT_THAT(progress.lines,
              testing::Contains(testing::HasSubstr("1 of 2 matrices have no entry (token_embd.weight)")));
}

TEST_F(QuantizeFileTest, DryRunWritesNothing) {
  QuantizeOptions options;
  options.dry_run = true;
  const QuantizeReport report =
      QuantizeFile(WriteModel(256), Path("out.gguf"), FindMix("Q4_0"), options, NoProgress());
  EXPECT_FALSE(fs::exists(Path("out.gguf")));
  EXPECT_EQ(report.types.at(Type::kQ4_0).bytes, 256 * 256 / 32 * 18);
}

// Column 5 matters a thousand times as much as the others.
TEST_F(QuantizeFileTest, AnImportanceMatrixSpendsBitsWhereTheyMatter) {
  const fs::path in = WriteModel(256);
  std::vector<double> squares(256, 1.0);
  squares[5] = 1000;
  ImportanceMatrix importance;
  importance.Add("blk.0.ffn_down.weight", squares, 1);
  importance.datasets = {"text.txt"};
  QuantizeOptions options;
  QuantizeFile(in, Path("plain.gguf"), FindMix("Q4_0"), options, NoProgress());
  options.importance = &importance;
  QuantizeFile(in, Path("weighted.gguf"), FindMix("Q4_0"), options, NoProgress());
  const auto before = GgufFile::Open(in);
  const auto column_error = [&](const char* file) {
    const Tensor x = before->LoadTensor("blk.0.ffn_down.weight"),
                 y = GgufFile::Open(Path(file))->LoadTensor("blk.0.ffn_down.weight").ToF32();
    double error = 0;
    for (std::size_t i = 5; i < x.floats().size(); i += 256)
      error += std::pow(double{x.floats()[i]} - y.floats()[i], 2);
    return error;
  };
  EXPECT_LT(column_error("weighted.gguf"), 0.2 * column_error("plain.gguf"));
  EXPECT_EQ(GgufFile::Open(Path("weighted.gguf"))->Get<std::string>("quantize.imatrix.dataset"), "text.txt");

  importance.Add("token_embd.weight", std::vector<double>(64, 1.0), 1);  // of another model
  EXPECT_THROW(QuantizeFile(in, Path("out.gguf"), FindMix("Q4_0"), options, NoProgress()), Error);
  EXPECT_FALSE(fs::exists(Path("out.gguf")));
}

TEST_F(QuantizeFileTest, CoarseTypesNeedAnImportanceMatrix) {
  const fs::path in = WriteModel(256);
  try {
    QuantizeFile(in, Path("out.gguf"), FindMix("Q2_K_S"), {}, NoProgress());
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadOption);
    EXPECT_THAT(e.what(), testing::HasSubstr("longspan imatrix"));
    EXPECT_THAT(e.what(), testing::HasSubstr("blk.0.ffn_down.weight"));
  }
  QuantizeOptions options;
  options.allow_no_imatrix = true;
  QuantizeFile(in, Path("out.gguf"), FindMix("Q2_K_S"), options, NoProgress());
  EXPECT_TRUE(fs::exists(Path("out.gguf")));
}

TEST_F(QuantizeFileTest, AMissingInputIsAnError) {
  EXPECT_THROW(QuantizeFile(Path("absent.gguf"), Path("out.gguf"), FindMix("Q8_0"), {}, NoProgress()), Error);
}

// Several pieces, the last one short.
TEST(Reencode, PiecesComeInOrder) {
  constexpr std::int64_t kRows = 3000, kCols = 1024;
  Random random(5, 0, RandomPurpose::kTest);
  std::vector<float> x(kRows * kCols);
  for (float& value : x) value = random.Normal();
  std::vector<std::byte> whole(static_cast<std::size_t>(kRows * RowBytes(Type::kF32, kCols))), pieces;
  const auto from = std::as_bytes(std::span(x));
  const EncodingError error = Reencode(Type::kF32, from, Type::kF32, whole, kRows, kCols);
  int count = 0;
  const std::byte* released = from.data();
  const EncodingError in_pieces = ReencodeTo(
      [&](std::span<const std::byte> piece) {
        pieces.insert(pieces.end(), piece.begin(), piece.end());
        ++count;
      },
      [&](std::span<const std::byte> done) {
        EXPECT_EQ(done.data(), released);
        released += done.size();
      },
      Type::kF32, from, Type::kF32, kRows, kCols);
  EXPECT_EQ(pieces, whole);
  EXPECT_GT(count, 2);
  EXPECT_EQ(released, from.data() + from.size());
  EXPECT_EQ(in_pieces.squared_error, error.squared_error);
  EXPECT_NEAR(in_pieces.squared_sum, error.squared_sum, 1e-12 * error.squared_sum);

  const auto ignore = [](std::span<const std::byte>) {};
  EXPECT_THROW((void)ReencodeTo([](std::span<const std::byte>) { Fail(ErrorKind::kIo, "full"); }, ignore,
                                Type::kF32, from, Type::kF32, kRows, kCols),
               Error);
}

TEST(Reencode, DoesNotDependOnThreads) {
  Random random(4, 0, RandomPurpose::kTest);
  std::vector<float> x(300 * 256);
  for (float& value : x) value = random.Normal();
  std::vector<std::byte> one(300 * 144), many(300 * 144);
  const int threads = Threads();
  SetThreads(1);
  const EncodingError error1 = Reencode(Type::kF32, std::as_bytes(std::span(x)), Type::kQ4_K, one, 300, 256);
  SetThreads(4);
  const EncodingError error4 = Reencode(Type::kF32, std::as_bytes(std::span(x)), Type::kQ4_K, many, 300, 256);
  SetThreads(threads);
  EXPECT_EQ(one, many);
  EXPECT_EQ(error1.squared_error, error4.squared_error);
}

}  // namespace
}  // namespace longspan
