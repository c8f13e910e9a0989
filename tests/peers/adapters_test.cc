// LoRA adapters mean the same to llama.cpp.
#include <fmt/format.h>

#include "base/random.h"
#include "base/testing/temporary_folder.h"
#include "formats/gguf_adapter.h"
#include "formats/peft.h"
#include "model/testing/small_model.h"
#include "peers.h"

namespace longspan::peers {
namespace {

class Adapters : public Peers {
 protected:
  // Every layer's matrices but `up` with random pairs, strong enough to change what is predicted.
  static LoraAdapter RandomAdapter(const LlamaConfig& c, bool rslora) {
    constexpr std::int64_t kRank = 8;
    LoraAdapter adapter;
    adapter.rank = kRank;
    adapter.alpha = 8;
    adapter.rslora = rslora;
    std::uint64_t stream = 0;
    const auto draw = [&](std::int64_t rows, std::int64_t cols) {
      Tensor tensor = Tensor::Allocate(Type::kF32, {rows, cols});
      Random random(5, stream++, RandomPurpose::kTest);
      for (float& x : tensor.mutable_floats()) x = 0.1f * random.Normal();
      return tensor;
    };
    for (std::int64_t layer = 0; layer < c.layers; ++layer) {
      for (const Part part : {Part::kQ, Part::kK, Part::kV, Part::kO, Part::kGate, Part::kDown}) {
        const PartTraits& traits = Traits(part);
        adapter.pairs.push_back({{layer, part}, draw(kRank, traits.cols(c)), draw(traits.rows(c), kRank)});
      }
    }
    return adapter;
  }

  TestFolder folder_;
};

// A PEFT folder is converted to a GGUF adapter. longspan predicts with the first what llama.cpp predicts with
// the second.
TEST_F(Adapters, PredictAlikeAsPeftHereAndAsGgufThere) {
  for (const Architecture architecture : {Architecture::kLlama, Architecture::kQwen2}) {
    const LlamaConfig c = RandomConfig(architecture);
    const auto model = folder_ / "model.gguf", peft = folder_ / "peft", gguf = folder_ / "adapter.gguf";
    SaveModel(model, c, oracle::LivelyWeights(c, 3), BaseModel().file->metadata());
    const LoadedModel plain(model);
    std::vector<std::int32_t> tokens = plain.tokenizer().Encode(kText, {.add_bos = true});
    tokens.resize(std::min<std::size_t>(tokens.size(), 100));
    const std::vector<float> unadapted = Logits(plain, tokens);
    for (const bool rslora : {false, true}) {
      WritePeft(peft, RandomAdapter(c, rslora), c);
      WriteGgufAdapter(gguf, ReadPeft(peft, c), architecture);
      for (const float factor : {1.0f, 0.5f}) {
        SCOPED_TRACE(fmt::format("{}, rank-stabilised {}, factor {}", Name(architecture), rslora, factor));
        const AdapterFile adapter{peft, factor};
        const LoadedModel ours(model, {}, "auto", Activations::kExact, {&adapter, 1});
        LlamaModel theirs(*Library(), model);
        theirs.Adapt(gguf, factor);
        const std::vector<float> expected = theirs.Logits(tokens);
        EXPECT_LT(MeanKl(Logits(ours, tokens), expected, c.vocab_size), 1e-5);
        EXPECT_GT(MeanKl(unadapted, expected, c.vocab_size), 1e-3);
      }
    }
  }
}

}  // namespace
}  // namespace longspan::peers
