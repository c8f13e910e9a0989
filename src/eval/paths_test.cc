// On every path through the kernels, a real model has the reference's perplexity on real text.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/file.h"
#include "base/testing/shared_data.h"
#include "base/testing/temporary_folder.h"
#include "eval/perplexity.h"
#include "infer/loaded_model.h"
#include "quantize/mix.h"
#include "quantize/quantize.h"

namespace longspan {
namespace {

class PathsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto text = SharedData("text/wiki.test.raw");
    if (!text) GTEST_SKIP() << "shared/data/text/wiki.test.raw is absent";
    text_ = ReadFile(*text).substr(0, 4000);
    const std::filesystem::path base =
        std::filesystem::path(LONGSPAN_SOURCE_DIR) / "models/longspan-base.gguf";
    QuantizeFile(base, path(), FindMix(GetParam()), {}, NoProgress());
  }
  std::filesystem::path path() const { return folder_ / "model.gguf"; }

  double Perplexity(std::string_view isa, Activations activations, Type cache_type) const {
    const LoadedModel model(path(), {}, isa, activations);
    const TokenDocument document = model.tokenizer().Encode(text_, {});
    TransformerSequence sequence(model.transformer(), cache_type);
    const PerplexityOptions options{.contexts = {256}, .stride = 128, .max_tokens = 256};
    return MeasurePerplexity(sequence, {&document, 1}, model.bos(), options).front().perplexity;
  }

  std::string text_;
  TestFolder folder_;
};

TEST_P(PathsTest, PerplexityIsTheReferences) {
  const double want = Perplexity("reference", Activations::kExact, Type::kF32);
  for (const std::string& isa : AvailableKernels()) {
    if (isa == "reference") continue;
    for (const Activations activations : {Activations::kExact, Activations::kInt8}) {
      const auto ratio = [&](Type cache) { return Perplexity(isa, activations, cache) / want; };
      SCOPED_TRACE(isa + (activations == Activations::kInt8 ? " int8" : " exact"));
      EXPECT_NEAR(ratio(Type::kF32), 1.0, 0.001);
      EXPECT_NEAR(ratio(Type::kF16), 1.0, 0.001);
      // 8-bit keys and values differ from exact ones on every path.
      EXPECT_NEAR(ratio(Type::kBF16), 1.0, 0.005);
      EXPECT_NEAR(ratio(Type::kQ8_0), 1.0, 0.005);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Weights, PathsTest, testing::Values("F32", "F16", "BF16", "Q8_0"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace longspan
