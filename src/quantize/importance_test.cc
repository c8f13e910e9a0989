#include "quantize/importance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;

std::string ErrorOf(const std::filesystem::path& path) {
  try {
    ImportanceMatrix::Load(path);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalidFile) << e.what();
    return e.what();
  }
  return "";
}

ImportanceMatrix Example() {
  ImportanceMatrix matrix;
  matrix.Add("blk.0.attn_q.weight", std::vector<double>{2, 8, 0, 18}, 2);
  matrix.Add("blk.0.ffn_down.weight", std::vector<double>{1, 4}, 2);
  matrix.datasets = {"text.txt"};
  matrix.chunks = 1;
  matrix.chunk_tokens = 2;
  matrix.fingerprint = 77;
  return matrix;
}

TEST(ImportanceMatrix, MeansAreOverAllTokens) {
  ImportanceMatrix matrix = Example();
  matrix.Add("blk.0.ffn_down.weight", std::vector<double>{3, 0}, 6);
  EXPECT_THAT(matrix.MeanSquares("blk.0.ffn_down.weight", 1, 2), ElementsAre(0.5f, 0.5f));
  EXPECT_THAT(matrix.MeanSquares("blk.1.ffn_down.weight", 1, 2), testing::IsEmpty());
  // A column that was never driven still has a code, so it has some weight.
  EXPECT_THAT(matrix.MeanSquares("blk.0.attn_q.weight", 1, 4), ElementsAre(1, 4, FloatEq(3.5e-6f), 9));
}

TEST(ImportanceMatrix, AnotherModelsWidthIsRefused) {
  try {
    Example().MeanSquares("blk.0.attn_q.weight", 1, 8);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadOption);
    EXPECT_THAT(e.what(), HasSubstr("blk.0.attn_q.weight has 1 x 4 columns, but the model's has 1 x 8"));
  }
}

TEST(ImportanceMatrix, ComesBackFromAFile) {
  const TestFolder folder;
  Example().Save(folder / "m.gguf");
  // As llama-imatrix writes it.
  const auto file = GgufFile::Open(folder / "m.gguf");
  EXPECT_EQ(file->Get<std::string>("general.type"), "imatrix");
  EXPECT_EQ(file->Get<std::uint32_t>("imatrix.chunk_size"), 2u);
  EXPECT_EQ(file->FindTensor("blk.0.attn_q.weight.in_sum2")->shape, (std::vector<std::int64_t>{1, 4}));
  EXPECT_EQ(file->FindTensor("blk.0.attn_q.weight.counts")->shape, (std::vector<std::int64_t>{1, 1}));

  const ImportanceMatrix read = ImportanceMatrix::Load(folder / "m.gguf");
  EXPECT_EQ(read.entries().size(), 2u);
  EXPECT_THAT(read.Find("blk.0.attn_q.weight")->sums, ElementsAre(2, 8, 0, 18));
  EXPECT_THAT(read.Find("blk.0.attn_q.weight")->counts, ElementsAre(2));
  EXPECT_THAT(read.datasets, ElementsAre("text.txt"));
  EXPECT_EQ(read.chunks, 1);
  EXPECT_EQ(read.chunk_tokens, 2);
  EXPECT_EQ(read.fingerprint, 77u);
}

TEST(ImportanceMatrix, ExpertsHaveCountsOfTheirOwn) {
  const TestFolder folder;
  GgufMetadata metadata;
  metadata.Set("general.type", "imatrix");
  GgufWriter writer(folder / "m.gguf", metadata);
  const std::vector<float> sums{2, 4, 9, 9}, counts{2, 0};
  writer.Declare("blk.0.ffn_up_exps.weight.in_sum2", Type::kF32, {2, 2});
  writer.Declare("blk.0.ffn_up_exps.weight.counts", Type::kF32, {2, 1});
  writer.Write("blk.0.ffn_up_exps.weight.in_sum2", std::as_bytes(std::span(sums)));
  writer.Write("blk.0.ffn_up_exps.weight.counts", std::as_bytes(std::span(counts)));
  writer.Commit();
  const ImportanceMatrix matrix = ImportanceMatrix::Load(folder / "m.gguf");
  EXPECT_THAT(matrix.MeanSquares("blk.0.ffn_up_exps.weight", 2, 2), ElementsAre(1, 2, 1, 1));
  EXPECT_THROW(matrix.MeanSquares("blk.0.ffn_up_exps.weight", 1, 2), Error);
}

class Dat {
 public:
  Dat& Int(std::int32_t n) { return Raw(&n, sizeof n); }
  Dat& Text(std::string_view text) {
    return Int(static_cast<std::int32_t>(text.size())).Raw(text.data(), text.size());
  }
  Dat& Floats(const std::vector<float>& x) { return Raw(x.data(), 4 * x.size()); }
  std::string text;

 private:
  Dat& Raw(const void* from, std::size_t size) {
    text.append(static_cast<const char*>(from), size);
    return *this;
  }
};

std::string OlderForm() {
  Dat dat;
  dat.Int(2);
  dat.Text("blk.0.attn_q.weight").Int(10).Int(3).Floats({10, 20, 40});
  dat.Text("output.weight").Int(5).Int(2).Floats({5, 0.5f});
  dat.Int(10).Text("wiki.txt");
  return dat.text;
}

TEST(ImportanceMatrix, ReadsTheOlderForm) {
  const TestFolder folder;
  WriteFile(folder / "imatrix.dat", OlderForm());
  const ImportanceMatrix matrix = ImportanceMatrix::Load(folder / "imatrix.dat");
  EXPECT_THAT(matrix.MeanSquares("blk.0.attn_q.weight", 1, 3), ElementsAre(1, 2, 4));
  EXPECT_THAT(matrix.MeanSquares("output.weight", 1, 2), ElementsAre(1, FloatEq(0.1f)));
  EXPECT_THAT(matrix.datasets, ElementsAre("wiki.txt"));
  EXPECT_EQ(matrix.chunks, 10);
  // The oldest files end after the entries.
  WriteFile(folder / "imatrix.dat", OlderForm().substr(0, OlderForm().size() - 16));
  EXPECT_EQ(ImportanceMatrix::Load(folder / "imatrix.dat").entries().size(), 2u);
}

TEST(ImportanceMatrix, RefusesImpossibleNumbers) {
  const TestFolder folder;
  const auto path = folder / "m.dat";
  for (const float bad : {-1.0f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    WriteFile(path, Dat().Int(1).Text("w").Int(1).Int(1).Floats({bad}).text);
    EXPECT_THAT(ErrorOf(path), HasSubstr("not negative"));
  }
  const auto refused = [&](const Dat& dat, const char* why) {
    WriteFile(path, dat.text);
    EXPECT_THAT(ErrorOf(path), HasSubstr(why));
  };
  refused(Dat().Int(0), "number of entries is 0");
  refused(Dat().Int(-5), "number of entries is -5");
  refused(Dat().Int(2'000'000'000).Text("w"), "cannot fit");
  refused(Dat().Int(1).Int(2'000'000'000).Floats({1, 2, 3, 4}), "needs 2000000000 bytes");
  refused(Dat().Int(1).Text("w").Int(1).Int(2'000'000'000).Floats({1}), "cannot fit");
  refused(Dat().Int(2).Text("w").Int(1).Int(1).Floats({1}).Text("w").Int(1).Int(1).Floats({1}),
          "second entry");
  WriteFile(path, "");
  EXPECT_NE(ErrorOf(path), "");
}

TEST(ImportanceMatrix, GgufOfAnotherKindIsRefused) {
  const TestFolder folder;
  const auto write = [&](const char* type, const std::vector<std::string>& tensors) {
    GgufMetadata metadata;
    metadata.Set("general.type", type);
    GgufWriter writer(folder / "m.gguf", metadata);
    const std::vector<float> three{1, 2, 3};
    for (const std::string& name : tensors) writer.Declare(name, Type::kF32, {3});
    for (const std::string& name : tensors) writer.Write(name, std::as_bytes(std::span(three)));
    writer.Commit();
    return ErrorOf(folder / "m.gguf");
  };
  EXPECT_THAT(write("model", {"a.in_sum2", "a.counts"}), HasSubstr("'model'"));
  EXPECT_THAT(write("imatrix", {"a.in_sum2"}), HasSubstr("sums but no counts"));
  EXPECT_THAT(write("imatrix", {"a.counts"}), HasSubstr("counts but no sums"));
  EXPECT_THAT(write("imatrix", {"a.in_sum"}), HasSubstr("without entries"));
  EXPECT_EQ(write("imatrix", {"a.in_sum2", "a.counts", "a.in_sum"}), "");
}

TEST(ImportanceMatrix, SurvivesTruncationAndFlippedBytes) {
  const TestFolder folder;
  const auto survives = [&](const std::string& whole) {
    const auto path = folder / "damaged";
    const auto load = [&](std::string_view text) {
      WriteFile(path, text);
      try {
        ImportanceMatrix::Load(path);
      } catch (const Error&) {
      }
    };
    for (std::size_t n = 0; n < whole.size(); ++n) load(whole.substr(0, n));
    for (std::size_t i = 0; i < whole.size(); ++i) {
      for (const char flip : {'\x01', '\x80', '\xff'}) {
        std::string damaged = whole;
        damaged[i] = static_cast<char>(damaged[i] ^ flip);
        load(damaged);
      }
    }
  };
  survives(OlderForm());
  Example().Save(folder / "m.gguf");
  survives(ReadFile(folder / "m.gguf"));
}

}  // namespace
}  // namespace longspan
