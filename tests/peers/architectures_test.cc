// Architectures that differ from a plain Llama's mean the same to llama.cpp.
#include <fmt/format.h>

#include "base/testing/temporary_folder.h"
#include "formats/llama_gguf.h"
#include "model/testing/small_model.h"
#include "peers.h"

namespace longspan::peers {
namespace {

class Architectures : public Peers {
 protected:
  // The mean divergence of the two programs' predictions for the first part of a text.
  double Distance(const LlamaConfig& config) const {
    const auto path = folder_ / "model.gguf";
    SaveModel(path, config, oracle::LivelyWeights(config, 3), BaseModel().file->metadata());
    const LoadedModel ours(path);
    std::vector<std::int32_t> tokens = ours.tokenizer().Encode(kText, {.add_bos = true});
    tokens.resize(std::min<std::size_t>(tokens.size(), 128));
    const LlamaModel theirs(*Library(), path);
    return MeanKl(Logits(ours, tokens), theirs.Logits(tokens), config.vocab_size);
  }

 private:
  TestFolder folder_;
};

TEST_F(Architectures, Qwen2) {
  LlamaConfig c = RandomConfig(Architecture::kQwen2);
  EXPECT_LT(Distance(c), 1e-4);
  c.rope_scaling = {.kind = RopeScaling::Kind::kYarn, .factor = 4, .original_context = 64};
  EXPECT_LT(Distance(c), 1e-4);
  c.tied_embeddings = false;
  c.kv_heads = 4;
  EXPECT_LT(Distance(c), 1e-4);
}

TEST_F(Architectures, LlamaWithBiases) {
  LlamaConfig c = RandomConfig(Architecture::kLlama);
  c.attention_bias = true;
  EXPECT_LT(Distance(c), 1e-4);
}

// llama.cpp ignores a Llama's window, so it agrees only while the window hides nothing.
TEST_F(Architectures, AWindowThatHidesNothing) {
  LlamaConfig c = RandomConfig(Architecture::kLlama);
  c.sliding_window = 128;
  EXPECT_LT(Distance(c), 1e-4);
  c.sliding_window = 16;
  EXPECT_GT(Distance(c), 1e-2);
}

}  // namespace
}  // namespace longspan::peers
