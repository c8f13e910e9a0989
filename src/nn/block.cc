#include "nn/block.h"

#include <array>
#include <cstring>
#include <optional>
#include <vector>

namespace longspan {
namespace {

// The attention input of sequence `s` in a pass without caches, where each sequence attends to itself.
AttentionInput SelfInput(const BlockContext& context, const BlockActivations& a, std::int64_t s) {
  const std::int64_t length = a.q.rows() / context.sequences, first = s * length;
  const auto part = [&](const Matrix& m) { return ConstRows(m).Slice(first, length); };
  AttentionInput input{part(a.q), KvView::OfRows(part(a.k), part(a.v), context.attention.head_dim)};
  if (!context.documents.empty()) input.documents = context.documents.subspan(first, length);
  return input;
}

// Stores the keys and values of all rows in the caches. Returns each sequence with everything that its cache
// then holds.
std::vector<AttentionSequence> CachedSequences(const BlockContext& context, const BlockActivations& a,
                                               Rows out) {
  std::vector<AttentionSequence> sequences;
  std::int64_t first = 0;
  for (const CachedSequence& s : context.cached) {
    const auto part = [&](const Matrix& m) { return ConstRows(m).Slice(first, s.rows); };
    context.kernels.StoreKv(context.kv_layout, part(a.k), part(a.v), s.first_order, s.pages);
    const KvView kv = KvView::OfPages(context.kv_layout, s.pages, s.first_order + s.rows);
    sequences.push_back({{part(a.q), kv, s.first_order}, out.Slice(first, s.rows)});
    first += s.rows;
  }
  return sequences;
}

// Where sparse prefill is asked for, lets each sequence attend to the KV blocks that matter to it. Returns
// what the sequences then point to.
std::vector<std::optional<KeyBlocks>> ChooseBlocks(const BlockContext& context,
                                                   std::span<AttentionSequence> sequences) {
  std::vector<std::optional<KeyBlocks>> chosen(sequences.size());
  if (context.sparse == nullptr) return chosen;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    chosen[s] = ChooseKeyBlocks(context.kernels, context.attention, sequences[s], *context.sparse,
                                context.sparse_tally);
    if (chosen[s]) sequences[s].blocks = &*chosen[s];
  }
  return chosen;
}

void Attend(const BlockContext& context, BlockActivations& a) {
  if (!context.cached.empty()) {
    std::vector<AttentionSequence> sequences = CachedSequences(context, a, a.attended);
    const std::vector<std::optional<KeyBlocks>> blocks = ChooseBlocks(context, sequences);
    context.kernels.Attention(context.attention, sequences);
    return;
  }
  const std::int64_t heads = context.attention.heads, length = a.q.rows() / context.sequences;
  a.log_sum_exp.Resize(context.sequences * heads, length);
  std::vector<AttentionSequence> sequences;
  for (std::int64_t s = 0; s < context.sequences; ++s) {
    sequences.push_back({SelfInput(context, a, s), Rows(a.attended).Slice(s * length, length),
                         Rows(a.log_sum_exp).Slice(s * heads, heads)});
  }
  context.kernels.Attention(context.attention, sequences);
}

// The pass's workspace, or `own` where it has none.
BlockWorkspace& WorkspaceOf(const BlockContext& context, BlockWorkspace& own) {
  return context.workspace != nullptr ? *context.workspace : own;
}

void Copy(ConstRows from, Matrix& to) {
  to.Resize(from.rows, from.cols);
  for (std::int64_t i = 0; i < from.rows; ++i) {
    std::memcpy(to[i].data(), from[i].data(), from[i].size_bytes());
  }
}

}  // namespace

void BlockForward(const Block& block, const BlockContext& context, Rows x, BlockActivations& a) {
  const Kernels& kernels = context.kernels;
  const std::int64_t n = x.rows, head_dim = context.attention.head_dim;
  BlockWorkspace own;
  LinearWorkspace& workspace = WorkspaceOf(context, own).linear;
  const auto output = [&](const Linear& layer, Matrix& y) -> LinearOutput {
    y.Resize(n, layer.weight.rows());
    return {layer, y};
  };

  a.normed.Resize(n, x.cols);
  kernels.RmsNorm(x, block.attention_norm, context.norm_epsilon, a.normed);
  const std::array projections{output(block.q, a.q), output(block.k, a.k), output(block.v, a.v)};
  LinearsForward(kernels, projections, context.dropout, a.normed, workspace);
  RopeForward(kernels, context.rope, head_dim, a.q);
  RopeForward(kernels, context.rope, head_dim, a.k);
  a.attended.Resize(n, a.q.cols());
  Attend(context, a);
  LinearForward(kernels, block.o, context.dropout, a.attended, x, Store::kAdd, workspace);
  if (context.cached.empty()) Copy(x, a.middle);

  a.mlp_normed.Resize(n, x.cols);
  kernels.RmsNorm(x, block.mlp_norm, context.norm_epsilon, a.mlp_normed);
  const std::array gates{output(block.gate, a.gate), output(block.up, a.up)};
  LinearsForward(kernels, gates, context.dropout, a.mlp_normed, workspace);
  a.hidden.Resize(n, a.gate.cols());
  kernels.SwiGlu(a.gate, a.up, a.hidden);
  LinearForward(kernels, block.down, context.dropout, a.hidden, x, Store::kAdd, workspace);
}

void BlockBackward(const Block& block, const BlockContext& context, ConstRows x, const BlockActivations& a,
                   Rows dx, const BlockGradient& gradient) {
  const Kernels& kernels = context.kernels;
  const std::int64_t n = x.rows, dim = x.cols, head_dim = context.attention.head_dim;
  BlockWorkspace own;
  BlockWorkspace& w = WorkspaceOf(context, own);
  const auto linear = [&](const Linear& layer, ConstRows in, ConstRows dout, Rows din, Store store,
                          const LinearGradient& g) {
    LinearBackward(kernels, layer, context.dropout, in, dout, din, store, g, w.linear);
  };

  // The MLP. dx is the gradient of the output, and so also of the residual stream that bypasses the MLP.
  Matrix &dhidden = w.dhidden, &dgate = w.dgate, &dnormed = w.dnormed;
  dhidden.Resize(n, a.hidden.cols());
  dgate.Resize(n, a.gate.cols());
  dnormed.Resize(n, dim);
  linear(block.down, a.hidden, dx, dhidden, Store::kSet, gradient.down);
  kernels.SwiGluBackward(a.gate, a.up, dhidden, dgate, dhidden);
  linear(block.gate, a.mlp_normed, dgate, dnormed, Store::kSet, gradient.gate);
  linear(block.up, a.mlp_normed, dhidden, dnormed, Store::kAdd, gradient.up);
  kernels.RmsNormBackward(a.middle, block.mlp_norm, context.norm_epsilon, dnormed, dx, gradient.mlp_norm);

  // Attention, likewise.
  Matrix &dattended = w.dattended, &dq = w.dq, &dk = w.dk, &dv = w.dv;
  dattended.Resize(n, a.attended.cols());
  dq.Resize(n, a.q.cols());
  dk.Resize(n, a.k.cols());
  dv.Resize(n, a.v.cols());
  linear(block.o, a.attended, dx, dattended, Store::kSet, gradient.o);
  const std::int64_t heads = context.attention.heads, length = n / context.sequences;
  std::vector<AttentionBackwardSequence> sequences;
  for (std::int64_t s = 0; s < context.sequences; ++s) {
    const auto read = [&](const Matrix& m) { return ConstRows(m).Slice(s * length, length); };
    const auto write = [&](Matrix& m) { return Rows(m).Slice(s * length, length); };
    sequences.push_back({SelfInput(context, a, s), read(a.attended),
                         ConstRows(a.log_sum_exp).Slice(s * heads, heads), read(dattended), write(dq),
                         write(dk), write(dv)});
  }
  kernels.AttentionBackward(context.attention, sequences);
  RopeBackward(kernels, context.rope, head_dim, dq);
  RopeBackward(kernels, context.rope, head_dim, dk);
  linear(block.q, a.normed, dq, dnormed, Store::kSet, gradient.q);
  linear(block.k, a.normed, dk, dnormed, Store::kAdd, gradient.k);
  linear(block.v, a.normed, dv, dnormed, Store::kAdd, gradient.v);
  kernels.RmsNormBackward(x, block.attention_norm, context.norm_epsilon, dnormed, dx,
                          gradient.attention_norm);
}

}  // namespace longspan
