// A small random model: every implementation of the kernels against doubles, and the same sequence in any
// chunks.
#include "model/transformer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/parallel.h"
#include "model/testing/small_model.h"

namespace longspan {
namespace {

using oracle::LivelyWeights;
using oracle::RandomTokens;
using oracle::ReferenceLogits;
using oracle::SmallConfig;

class TransformerTest : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const { return ChooseKernels(GetParam()); }
};

// Logits of tokens that follow what is in the cache, given to the model in chunks.
Matrix Logits(const Transformer& model, KvCache& cache, std::span<const std::int32_t> tokens,
              std::span<const std::int64_t> chunks) {
  Matrix hidden(static_cast<std::int64_t>(tokens.size()), model.config().dim);
  Matrix logits(hidden.rows(), model.config().vocab_size);
  std::int64_t first = 0;
  for (const std::int64_t chunk : chunks) {
    const std::int64_t count = std::min(chunk, hidden.rows() - first);
    model.Forward(tokens.subspan(first, count), cache, Rows(hidden).Slice(first, count));
    first += count;
  }
  EXPECT_EQ(first, hidden.rows()) << "the chunks do not cover the sequence";
  model.Logits(hidden, logits);
  return logits;
}

Matrix Logits(const Transformer& model, std::span<const std::int32_t> tokens) {
  KvCache cache(model.config());
  const std::int64_t all = static_cast<std::int64_t>(tokens.size());
  return Logits(model, cache, tokens, {&all, 1});
}

TEST_P(TransformerTest, MatchesDoublePrecision) {
  struct Case {
    std::int64_t kv_heads;
    bool tied;
    RopeScaling::Kind scaling;
    Type type;
  };
  for (const Case& test : {Case{2, false, RopeScaling::Kind::kNone, Type::kF32},
                           Case{4, true, RopeScaling::Kind::kLinear, Type::kF32},
                           Case{1, true, RopeScaling::Kind::kYarn, Type::kBF16},
                           Case{4, false, RopeScaling::Kind::kLlama3, Type::kF16}}) {
    LlamaConfig c = SmallConfig();
    c.kv_heads = test.kv_heads;
    c.tied_embeddings = test.tied;
    c.rope_scaling.kind = test.scaling;
    c.rope_scaling.factor = 4;
    c.rope_scaling.original_context = 64;
    Weights weights = LivelyWeights(c, 7);
    if (test.type != Type::kF32) weights = oracle::InType(weights, test.tied, test.type);
    ASSERT_NO_THROW(weights.Validate(c, "test"));
    const std::vector<std::int32_t> tokens = RandomTokens(90, c.vocab_size);
    const Transformer model(c, weights, kernels());
    oracle::ExpectClose(Logits(model, tokens), ReferenceLogits(c, weights, tokens), 3e-5,
                        fmt::format("{} KV heads, {}, {}, {}", test.kv_heads, test.tied ? "tied" : "untied",
                                    Name(test.scaling), Traits(test.type).name));
  }
}

TEST_P(TransformerTest, Qwen2HasBiasesAndTurnsHalves) {
  LlamaConfig c = SmallConfig();
  c.architecture = Architecture::kQwen2;
  c.attention_bias = true;
  const Weights weights = LivelyWeights(c, 8);
  const std::vector<std::int32_t> tokens = RandomTokens(40, c.vocab_size);
  const Transformer model(c, weights, kernels());
  oracle::ExpectClose(Logits(model, tokens), ReferenceLogits(c, weights, tokens), 3e-5, "qwen2");
}

// Keeps everything that it is told.
class Recorder : public ActivationListener {
 public:
  void Saw(WeightId weight, ConstRows x) override {
    weights.push_back(weight);
    inputs.push_back(Matrix(x.rows, x.cols));
    for (std::int64_t i = 0; i < x.rows; ++i) std::ranges::copy(x[i], inputs.back()[i].begin());
  }
  std::vector<WeightId> weights;
  std::vector<Matrix> inputs;
};

TEST_P(TransformerTest, AListenerSeesTheInputOfEveryLayer) {
  for (const bool tied : {false, true}) {
    LlamaConfig c = SmallConfig();
    c.tied_embeddings = tied;
    const Weights weights = LivelyWeights(c, 4);
    const Transformer model(c, weights, kernels());
    const std::vector<std::int32_t> tokens = RandomTokens(9, c.vocab_size);
    Recorder recorder;
    KvCache cache(c);
    Matrix hidden(9, c.dim), logits(2, c.vocab_size);
    model.Forward(tokens, cache, hidden, &recorder);
    model.Logits(ConstRows(hidden).Slice(7, 2), logits, &recorder);

    std::vector<WeightId> expected;
    ForEachTensor(weights, true, [&](WeightId id, const Tensor& t) {
      if (id.layer >= 0 && t.shape().size() == 2) expected.push_back(id);
    });
    expected.push_back({-1, tied ? Part::kEmbedding : Part::kOutput});
    ASSERT_EQ(recorder.weights, expected);
    ForEachTensor(weights, tied, [&](WeightId id, const Tensor& t) {
      const auto at = std::ranges::find(expected, id) - expected.begin();
      if (at == std::ssize(expected)) return;  // a norm
      EXPECT_EQ(recorder.inputs[at].cols(), t.cols()) << Name(id);
    });
    EXPECT_TRUE(std::ranges::equal(recorder.inputs[0].span(), recorder.inputs[2].span()))
        << "q and v share one";
    EXPECT_EQ(recorder.inputs[0].rows(), 9);
    EXPECT_EQ(recorder.inputs.back().rows(), 2);
    // down's input must be SwiGLU of what gate and up make of theirs. So the inputs belong to their names.
    Matrix gate(9, c.hidden_dim), up(9, c.hidden_dim);
    kernels().MatMul(recorder.inputs[4], weights.layers[0].gate, gate, Store::kSet);
    kernels().MatMul(recorder.inputs[5], weights.layers[0].up, up, Store::kSet);
    kernels().SwiGlu(gate, up, gate);
    for (std::int64_t j = 0; j < c.hidden_dim; ++j) EXPECT_NEAR(gate[8][j], recorder.inputs[6][8][j], 1e-4);
  }
}

// Mistral, in one piece and token by token.
TEST_P(TransformerTest, ASlidingWindowHidesWhatIsFarBack) {
  for (const std::int64_t window : {1, 10, 64, 100}) {
    LlamaConfig c = SmallConfig();
    c.sliding_window = window;
    const Weights weights = LivelyWeights(c, 7);
    const Transformer model(c, weights, kernels());
    const std::vector<std::int32_t> tokens = RandomTokens(150, c.vocab_size);
    const oracle::DoubleMatrix want = ReferenceLogits(c, weights, tokens);
    for (const std::vector<std::int64_t>& chunks :
         {std::vector<std::int64_t>{150}, {70, 80}, std::vector<std::int64_t>(150, 1)}) {
      KvCache cache(c);
      oracle::ExpectClose(Logits(model, cache, tokens, chunks), want, 3e-5, fmt::format("window {}", window));
    }
  }
}

TEST_P(TransformerTest, ChunksDoNotMatter) {
  const LlamaConfig c = SmallConfig();
  const Weights weights = LivelyWeights(c, 3);
  const Transformer model(c, weights, kernels());
  const std::vector<std::int32_t> tokens = RandomTokens(200, c.vocab_size);
  const oracle::DoubleMatrix want = oracle::Widen(Logits(model, tokens));
  const std::vector<std::vector<std::int64_t>> ways = {std::vector<std::int64_t>(200, 1),  // token by token
                                                       {63, 1, 136},
                                                       {64, 64, 72},
                                                       {65, 135},
                                                       {63, 64, 65, 8},
                                                       {1, 127, 2, 70},
                                                       {7, 13, 100, 80},
                                                       {199, 1}};
  for (const std::vector<std::int64_t>& chunks : ways) {
    KvCache cache(c);
    oracle::ExpectClose(Logits(model, cache, tokens, chunks), want, 2e-5,
                        fmt::format("chunks {}", fmt::join(chunks, " ")));
    EXPECT_EQ(cache.length(), 200);
  }
}

// With a threshold of 1, and for tokens that are not deep enough or come alone, sparse prefill is dense.
// Otherwise what comes before `from` has the same bits, and what comes after is another sum.
TEST_P(TransformerTest, SparsePrefillBeginsAtItsDepth) {
  const LlamaConfig c = SmallConfig();
  const Weights weights = LivelyWeights(c, 3);
  const std::vector<std::int32_t> tokens = RandomTokens(640, c.vocab_size);
  const std::vector<std::int64_t> chunks{256, 256, 128};
  const auto run = [&](const SparsePrefill* sparse, std::span<const std::int64_t> pieces) {
    Transformer model(c, weights, kernels());
    if (sparse != nullptr) model.SetSparsePrefill(*sparse);
    KvCache cache(c);
    Matrix logits = Logits(model, cache, tokens, pieces);
    EXPECT_EQ(model.sparse_tally() != nullptr, sparse != nullptr);
    return std::pair(std::move(logits), sparse == nullptr ? 1.0 : model.sparse_tally()->fraction());
  };
  const auto same = [](const Matrix& a, const Matrix& b, std::int64_t first, std::int64_t count) {
    return std::ranges::equal(a.span().subspan(first * a.cols(), count * a.cols()),
                              b.span().subspan(first * a.cols(), count * a.cols()));
  };
  const Matrix dense = run(nullptr, chunks).first;
  const SparsePrefill all{.threshold = 1, .from = 0}, deep{.threshold = 0.3f, .from = 640},
      half{.threshold = 0.3f, .from = 320, .budget = 384};
  EXPECT_TRUE(same(run(&all, chunks).first, dense, 0, 640));
  EXPECT_TRUE(same(run(&deep, chunks).first, dense, 0, 640));
  const auto [sparse, fraction] = run(&half, chunks);
  EXPECT_TRUE(same(sparse, dense, 0, 320));
  EXPECT_FALSE(same(sparse, dense, 384, 256));
  EXPECT_LT(fraction, 0.95);
  EXPECT_GT(fraction, 0.5);
  // Chunks of other multiples of 64 tokens choose the same blocks, so that only the order of sums differs.
  oracle::ExpectClose(run(&half, std::vector<std::int64_t>{64, 192, 384}).first, oracle::Widen(sparse), 2e-5,
                      "other chunks");
  const std::vector<std::int64_t> alone(640, 1);
  EXPECT_TRUE(same(run(&half, alone).first, run(nullptr, alone).first, 0, 640));
}

TEST_P(TransformerTest, TruncateAndRunAgainGivesTheSame) {
  const LlamaConfig c = SmallConfig();
  const Transformer model(c, LivelyWeights(c, 3), kernels());
  const std::vector<std::int32_t> tokens = RandomTokens(140, c.vocab_size);
  for (const std::int64_t keep : {0, 1, 63, 64, 65, 128}) {
    const std::span<const std::int32_t> rest = std::span(tokens).subspan(keep);
    const std::vector<std::int64_t> chunks{keep, 140 - keep}, rest_chunk{140 - keep};
    KvCache cache(c);
    const Matrix whole = Logits(model, cache, tokens, keep > 0 ? chunks : rest_chunk);
    // Other tokens were there in between.
    cache.Truncate(keep);
    const std::vector<std::int32_t> other(30, 5);
    const std::vector<std::int64_t> other_chunk{30};
    Logits(model, cache, other, other_chunk);
    cache.Truncate(keep);
    const Matrix again = Logits(model, cache, rest, rest_chunk);
    EXPECT_TRUE(std::ranges::equal(again.span(), whole.span().subspan(keep * c.vocab_size)))
        << "kept " << keep;
  }
}

TEST_P(TransformerTest, EarlierTokensMatterAndLaterOnesDoNot) {
  const LlamaConfig c = SmallConfig();
  const Transformer model(c, LivelyWeights(c, 3), kernels());
  std::vector<std::int32_t> tokens = RandomTokens(130, c.vocab_size);
  const Matrix before = Logits(model, tokens);
  tokens[70] = (tokens[70] + 1) % 61;
  const Matrix after = Logits(model, tokens);
  for (std::int64_t i = 0; i < 130; ++i) {
    EXPECT_EQ(std::ranges::equal(before[i], after[i]), i < 70) << i;
  }
}

TEST_P(TransformerTest, TiedEqualsUntiedWithTheSameHead) {
  LlamaConfig c = SmallConfig();
  c.tied_embeddings = true;
  const Weights tied = LivelyWeights(c, 5);
  EXPECT_EQ(tied.output.bytes().data(), tied.embedding.bytes().data());
  Weights untied = tied;
  untied.output = tied.embedding.ToF32();
  const std::vector<std::int32_t> tokens = RandomTokens(20, c.vocab_size);
  const Matrix a = Logits(Transformer(c, tied, kernels()), tokens);
  c.tied_embeddings = false;
  const Matrix b = Logits(Transformer(c, untied, kernels()), tokens);
  EXPECT_TRUE(std::ranges::equal(a.span(), b.span()));
}

// Grouped queries are multi-head attention whose heads share keys and values.
TEST_P(TransformerTest, GroupedQueriesEqualRepeatedHeads) {
  LlamaConfig grouped = SmallConfig();
  grouped.kv_heads = 2;
  const Weights weights = LivelyWeights(grouped, 5);
  LlamaConfig repeated = grouped;
  repeated.kv_heads = 4;
  Weights wide = weights;
  for (LayerWeights& l : wide.layers) {
    for (Tensor* t : {&l.k, &l.v}) {
      Matrix rows(repeated.kv_dim(), repeated.dim);
      for (std::int64_t i = 0; i < rows.rows(); ++i) {
        const std::int64_t head = i / grouped.head_dim / 2, within = i % grouped.head_dim;
        std::ranges::copy(t->AsRows()[head * grouped.head_dim + within], rows[i].begin());
      }
      *t = Tensor::FromRows(rows);
    }
  }
  const std::vector<std::int32_t> tokens = RandomTokens(100, grouped.vocab_size);
  const Matrix want = Logits(Transformer(grouped, weights, kernels()), tokens);
  oracle::ExpectClose(Logits(Transformer(repeated, wide, kernels()), tokens), oracle::Widen(want), 1e-5,
                      "repeated");
}

TEST_P(TransformerTest, ThreadsDoNotChangeResults) {
  LlamaConfig c = SmallConfig();
  c.dim = 96;
  c.hidden_dim = 200;
  c.vocab_size = 300;
  const Transformer model(c, LivelyWeights(c, 3), kernels());
  const std::vector<std::int32_t> tokens = RandomTokens(140, c.vocab_size);
  const std::vector<std::int64_t> chunks{130, 1, 9};
  const int kept = Threads();
  Matrix one;
  for (int threads = 1; threads <= 4; ++threads) {
    SetThreads(threads);
    KvCache cache(c);
    const Matrix logits = Logits(model, cache, tokens, chunks);
    if (threads == 1) one = logits;
    EXPECT_TRUE(std::ranges::equal(logits.span(), one.span())) << threads << " threads";
  }
  SetThreads(kept);
}

TEST_P(TransformerTest, RopeFactorsOfAFileCount) {
  const LlamaConfig c = SmallConfig();
  Weights weights = LivelyWeights(c, 5);
  const std::vector<std::int32_t> tokens = RandomTokens(80, c.vocab_size);
  LlamaConfig linear = c;
  linear.rope_scaling.kind = RopeScaling::Kind::kLinear;
  linear.rope_scaling.factor = 4;
  const Matrix want = Logits(Transformer(linear, weights, kernels()), tokens);
  weights.rope_factors = Tensor::Allocate(Type::kF32, {c.head_dim / 2});
  for (float& x : weights.rope_factors.mutable_floats()) x = 4;
  EXPECT_TRUE(std::ranges::equal(Logits(Transformer(c, weights, kernels()), tokens).span(), want.span()));
}

// A refused token leaves the cache as it was.
TEST_P(TransformerTest, RefusesTokensOutsideTheVocabulary) {
  const LlamaConfig c = SmallConfig();
  const Transformer model(c, LivelyWeights(c, 3), kernels());
  const std::vector<std::int32_t> tokens = RandomTokens(20, c.vocab_size), bad{3, 61};
  const std::vector<std::int64_t> chunks{12, 8}, first{12}, second{8};
  KvCache cache(c), undisturbed(c);
  const Matrix want = Logits(model, undisturbed, tokens, chunks);
  Logits(model, cache, std::span(tokens).first(12), first);
  Matrix hidden(2, c.dim);
  EXPECT_THROW(model.Forward(bad, cache, hidden), Error);
  EXPECT_EQ(cache.length(), 12);
  const Matrix rest = Logits(model, cache, std::span(tokens).subspan(12), second);
  EXPECT_TRUE(std::ranges::equal(rest.span(), want.span().subspan(12 * c.vocab_size)));
}

// Sequences of any lengths in one pass, each at its own place: some begin, some go on with one token, some
// with many.
TEST_P(TransformerTest, SequencesOfAPassAreAsIfAlone) {
  const LlamaConfig c = SmallConfig();
  const Transformer model(c, LivelyWeights(c, 3), kernels());
  const std::vector<std::int32_t> tokens = RandomTokens(256, c.vocab_size);
  struct Case {
    std::int64_t before, count;
  };
  const std::vector<Case> cases{{0, 1}, {0, 70}, {63, 1}, {64, 1}, {100, 37}, {5, 3}, {128, 64}};
  std::vector<KvCache> caches;
  std::vector<SequenceTokens> sequences;
  std::int64_t rows = 0;
  const auto part = [&](std::size_t i, std::int64_t first, std::int64_t count) {
    // Each starts at another place of the same text.
    return std::span(tokens).subspan(static_cast<std::size_t>(first) + i, count);
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    caches.emplace_back(c);
    Matrix hidden(cases[i].before, c.dim);
    if (cases[i].before > 0) model.Forward(part(i, 0, cases[i].before), caches[i], hidden);
    rows += cases[i].count;
  }
  for (std::size_t i = 0; i < cases.size(); ++i) {
    sequences.push_back({part(i, cases[i].before, cases[i].count), &caches[i]});
  }
  Matrix together(rows, c.dim);
  model.Forward(sequences, together);
  std::int64_t first = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    KvCache alone(c);
    Matrix hidden(cases[i].before + cases[i].count, c.dim);
    model.Forward(part(i, 0, hidden.rows()), alone, hidden);
    EXPECT_EQ(caches[i].length(), alone.length());
    Matrix want(cases[i].count, c.dim), got(cases[i].count, c.dim);
    for (std::int64_t r = 0; r < cases[i].count; ++r) {
      std::ranges::copy(hidden[cases[i].before + r], want[r].begin());
      std::ranges::copy(together[first + r], got[r].begin());
    }
    first += cases[i].count;
    oracle::ExpectClose(got, oracle::Widen(want), 2e-5, fmt::format("sequence {}", i));
  }
}

// One of several sequences finds no page, or has an invalid token. All caches stay as they were.
TEST_P(TransformerTest, APassThatFailsChangesNothing) {
  const LlamaConfig c = SmallConfig();
  const Transformer model(c, LivelyWeights(c, 3), kernels());
  const std::vector<std::int32_t> tokens = RandomTokens(200, c.vocab_size);
  const auto part = [&](std::int64_t first, std::int64_t count) {
    return std::span(tokens).subspan(first, static_cast<std::size_t>(count));
  };
  const auto pool = KvPagePool::Make(c, Type::kF32, KvCache::Bytes(c, 3 * 64));
  KvCache a(pool), b(pool);
  Matrix hidden(100, c.dim);
  model.Forward(part(0, 60), a, Rows(hidden).Slice(0, 60));
  model.Forward(part(0, 50), b, Rows(hidden).Slice(0, 50));
  const std::vector<SequenceTokens> too_many{{part(60, 40), &a}, {part(50, 40), &b}};
  EXPECT_THROW(model.Forward(too_many, hidden), Error);
  const std::vector<std::int32_t> bad{3, 61};
  const std::vector<SequenceTokens> no_token{{part(60, 10), &a}, {bad, &b}};
  EXPECT_THROW(model.Forward(no_token, hidden), Error);
  const std::vector<SequenceTokens> twice{{part(60, 1), &a}, {part(60, 1), &a}};
  EXPECT_THROW(model.Forward(twice, hidden), Error);
  EXPECT_EQ(a.length(), 60);
  EXPECT_EQ(b.length(), 50);
  EXPECT_EQ(pool->used_pages(), 2);

  KvCache fresh(c);
  Matrix want(40, c.dim), got(40, c.dim);
  model.Forward(part(0, 60), fresh, Rows(hidden).Slice(0, 60));
  model.Forward(part(60, 40), fresh, want);
  model.Forward(part(60, 40), a, got);
  EXPECT_TRUE(std::ranges::equal(got.span(), want.span()));
}

INSTANTIATE_TEST_SUITE_P(Isa, TransformerTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace longspan
