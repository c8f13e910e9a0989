#include "model/transformer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "model/linears.h"
#include "nn/embedding.h"

namespace longspan {
namespace {

// The fewest rows of a pass that Ctrl-C ends between two layers.
constexpr std::int64_t kLongPass = 32;

void DecodeNorm(Tensor& norm) {
  if (norm.type() != Type::kF32) norm = norm.ToF32();
}

// Small vectors are kept decoded.
void DecodeBias(Tensor& bias) {
  if (!bias.empty() && bias.type() != Type::kF32) bias = bias.ToF32();
}

std::span<const float> BiasOf(const Tensor& bias) {
  return bias.empty() ? std::span<const float>() : bias.floats();
}

// A block's activations hold the inputs of all its layers.
void Report(std::int64_t layer, const BlockActivations& a, ActivationListener& listener) {
  for (const LinearPart& l : kLinears) listener.Saw({layer, l.part}, a.*l.input);
}

// x [tokens, dim] = rows of the table, plus the same rows of its adapter's product B A: rows of B, times A.
void Embed(const Kernels& kernels, const Linear& table, std::span<const std::int32_t> tokens, Rows x) {
  EmbeddingForward(table.weight, tokens, x);
  if (table.adapter == nullptr) return;
  const Adapter& adapter = *table.adapter;
  Matrix inner(x.rows, adapter.b.cols());
  EmbeddingForward(adapter.b, tokens, inner);
  kernels.Scale(adapter.scale, inner.span());
  // MatMulInputGradient multiplies by A itself, MatMul would by its transpose.
  kernels.MatMulInputGradient(inner, adapter.a, x, Store::kAdd);
}

// Refuses a cache that two sequences share, because they would be stored in one place.
void CheckSequences(std::span<const SequenceTokens> sequences) {
  std::vector<const KvCache*> caches;
  for (const SequenceTokens& s : sequences) {
    if (s.tokens.empty()) Fail(ErrorKind::kInternal, "a sequence without tokens");
    caches.push_back(s.cache);
  }
  std::ranges::sort(caches);
  if (std::ranges::adjacent_find(caches) != caches.end())
    Fail(ErrorKind::kInternal, "a cache that two sequences use");
}

// Makes one adapter of two of the same projection. The two A are stacked; the two B stand side by side,
// multiplied by their scales.
Adapter Stack(const Adapter& x, const Adapter& y) {
  const std::int64_t rank = x.a.rows() + y.a.rows();
  Adapter both{Tensor::Allocate(Type::kF32, {rank, x.a.cols()}),
               Tensor::Allocate(Type::kF32, {x.b.rows(), rank})};
  std::ranges::copy(y.a.floats(), std::ranges::copy(x.a.floats(), both.a.mutable_floats().begin()).out);
  auto to = both.b.mutable_floats().begin();
  for (std::int64_t i = 0; i < x.b.rows(); ++i) {
    for (const Adapter* from : {&x, &y}) {
      for (const float b : from->b.AsRows()[i]) *to++ = from->scale * b;
    }
  }
  return both;
}

}  // namespace

Transformer::Transformer(LlamaConfig config, Weights weights, const Kernels& kernels)
    : config_(std::move(config)), weights_(std::move(weights)), kernels_(kernels) {
  DecodeNorm(weights_.output_norm);
  const Tensor factors = weights_.rope_factors.empty() ? Tensor() : weights_.rope_factors.ToF32();
  rope_ = MakeRopeFrequencies(config_, factors.empty() ? std::span<const float>() : factors.floats());
  embedding_.weight = weights_.embedding;
  output_.weight = weights_.output;
  for (LayerWeights& layer : weights_.layers) {
    DecodeNorm(layer.attention_norm);
    DecodeNorm(layer.mlp_norm);
    for (Tensor* bias : {&layer.q_bias, &layer.k_bias, &layer.v_bias}) DecodeBias(*bias);
    Block block;
    block.attention_norm = layer.attention_norm.floats();
    block.mlp_norm = layer.mlp_norm.floats();
    block.q.weight = layer.q;
    block.k.weight = layer.k;
    block.v.weight = layer.v;
    block.q.bias = BiasOf(layer.q_bias);
    block.k.bias = BiasOf(layer.k_bias);
    block.v.bias = BiasOf(layer.v_bias);
    block.o.weight = layer.o;
    block.gate.weight = layer.gate;
    block.up.weight = layer.up;
    block.down.weight = layer.down;
    blocks_.push_back(std::move(block));
  }
}

Transformer::Transformer(const Transformer& model, const Kernels& kernels)
    : config_(model.config_),
      weights_(model.weights_),
      kernels_(kernels),
      rope_(model.rope_),
      embedding_(model.embedding_),
      output_(model.output_),
      blocks_(model.blocks_),
      adapters_(model.adapters_) {}

Linear* Transformer::FindAdaptable(WeightId id) {
  if (id == WeightId{-1, Part::kEmbedding}) return &embedding_;
  if (id == WeightId{-1, Part::kOutput}) return config_.tied_embeddings ? nullptr : &output_;
  const LinearPart* const part = FindLinear(id.part);
  if (part == nullptr || id.layer < 0 || id.layer >= std::ssize(blocks_)) return nullptr;
  return &(blocks_[id.layer].*part->linear);
}

void Transformer::Adapt(const LoraAdapter& adapter, double factor) {
  CheckBaseLayers(adapter, weights_);
  for (const LoraAdapter::Pair& pair : adapter.pairs) {
    Linear* const found = FindAdaptable(pair.target);
    if (found == nullptr)
      Fail(ErrorKind::kInvalidFile, "an adapter of {}, which the model does not have", Name(pair.target));
    Linear& linear = *found;
    if (pair.a.cols() != linear.weight.cols() || pair.b.rows() != linear.weight.rows() ||
        pair.a.rows() != pair.b.cols()) {
      Fail(ErrorKind::kInvalidFile, "adapter of {}: B is {} x {} and A {} x {}, the weight is {} x {}",
           Name(pair.target), pair.b.rows(), pair.b.cols(), pair.a.rows(), pair.a.cols(),
           linear.weight.rows(), linear.weight.cols());
    }
    Adapter added{pair.a, pair.b, static_cast<float>(adapter.Scale() * factor)};
    if (linear.adapter != nullptr) added = Stack(*linear.adapter, added);
    linear.adapter = adapters_.emplace_back(std::make_shared<const Adapter>(std::move(added))).get();
  }
}

void Transformer::SetSparsePrefill(const SparsePrefill& sparse) {
  sparse_ = sparse;
  sparse_tally_ = std::make_unique<SparseTally>();
}

AttentionShape Transformer::attention_shape() const {
  const std::int64_t window = config_.sliding_window;
  return {config_.heads, config_.kv_heads, config_.head_dim,
          1.0f / std::sqrt(static_cast<float>(config_.head_dim)),
          window > 0 ? window : AttentionShape::kNoWindow};
}

void Transformer::Forward(std::span<const std::int32_t> tokens, KvCache& cache, Rows hidden,
                          ActivationListener* listener) const {
  const SequenceTokens sequence{tokens, &cache};
  Forward({&sequence, 1}, hidden, listener);
}

void Transformer::Forward(std::span<const SequenceTokens> sequences, Rows hidden,
                          ActivationListener* listener) const {
  if (sequences.empty()) return;
  CheckSequences(sequences);
  std::vector<std::int32_t> tokens, positions;
  for (const SequenceTokens& s : sequences) {
    tokens.insert(tokens.end(), s.tokens.begin(), s.tokens.end());
    for (std::int64_t i = 0; i < std::ssize(s.tokens); ++i) {
      positions.push_back(static_cast<std::int32_t>(s.cache->length() + i));
    }
  }
  Embed(kernels_, embedding_, tokens, hidden);
  try {
    for (const SequenceTokens& s : sequences) s.cache->Reserve(std::ssize(s.tokens));
    RunBlocks(sequences, RopeTable(positions, rope_.inverse, rope_.magnitude, rope_.pairing), hidden,
              listener);
  } catch (...) {
    // What was stored lies past the lengths, where nothing is read. Only the pages must be given back.
    for (const SequenceTokens& s : sequences) s.cache->Truncate(s.cache->length());
    throw;
  }
  for (const SequenceTokens& s : sequences) s.cache->Advance(std::ssize(s.tokens));
}

void Transformer::RunBlocks(std::span<const SequenceTokens> sequences, const RopeTable& rope, Rows hidden,
                            ActivationListener* listener) const {
  std::vector<std::vector<std::byte*>> pages(sequences.size());
  std::vector<CachedSequence> cached(sequences.size());
  BlockContext context{kernels_, attention_shape(), static_cast<float>(config_.norm_epsilon), rope};
  context.kv_layout = sequences.front().cache->layout();
  context.cached = cached;
  context.sparse = sparse_ ? &*sparse_ : nullptr;
  context.sparse_tally = sparse_tally_.get();
  // Kept from pass to pass: memory new to the process would be cleared page by page, on this thread.
  static thread_local BlockActivations activations;
  // Passes of a few tokens are short, and their callers check for Ctrl-C between them. A listener must see
  // whole passes.
  const bool cancellable = listener == nullptr && hidden.rows >= kLongPass;
  for (std::int64_t layer = 0; layer < std::ssize(blocks_); ++layer) {
    if (cancellable) ThrowIfCancelled();
    for (std::size_t s = 0; s < sequences.size(); ++s) {
      const auto& [tokens, cache] = sequences[s];
      cache->LayerPages(layer, pages[s]);
      cached[s] = {std::ssize(tokens), cache->length(), pages[s]};
    }
    BlockForward(blocks_[layer], context, hidden, activations);
    if (listener != nullptr) Report(layer, activations, *listener);
  }
  kernels_.RmsNorm(hidden, output_norm(), context.norm_epsilon, hidden);
}

void Transformer::Logits(ConstRows hidden, Rows logits, ActivationListener* listener) const {
  if (listener != nullptr)
    listener->Saw({-1, config_.tied_embeddings ? Part::kEmbedding : Part::kOutput}, hidden);
  LinearForward(kernels_, output_, {}, hidden, logits, Store::kSet);
}

}  // namespace longspan
