// Attention of a batch: each sequence as tasks of the kind that suits its number of queries.
#if defined(LONGSPAN_KERNELS_VECTOR_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_ATTENTION_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_ATTENTION_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_ATTENTION_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/kernels.h"
#include "kernels/vector/attention_decode-inl.h"
#include "kernels/vector/attention_dots-inl.h"
#include "kernels/vector/attention_prefill-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2  // see vector_targets.h

// Pages as floats, whatever their type.
struct FloatArithmetic {
  template <class F>
  static void WithDots(Type type, int queries, F&& f) {
    WithKvType(type, [&](auto constant) {
      constexpr Type kType = decltype(constant)::value;
      if (queries == 1)
        f(std::type_identity<FloatDots<kType, 1>>());
      else if (queries == 2)
        f(std::type_identity<FloatDots<kType, 2>>());
      else
        f(std::type_identity<FloatDots<kType, 4>>());
    });
  }
  static void Prefill(const AttentionShape& shape, const AttentionSequence& s, std::int64_t kv_head,
                      std::int64_t first, std::int64_t count) {
    PrefillTask<FloatPanels>(shape, s, kv_head, first, count);
  }
};

// The heads of sequences with few queries, kv_heads of each sequence, and the memory for their sums.
class DecodeHeads {
 public:
  // Neighbouring heads of one sequence over one piece.
  struct Work {
    std::int64_t first_head, end_head, piece;
  };

  DecodeHeads(std::int64_t kv_heads, std::int64_t sequences)
      : kv_heads_(kv_heads),
        heads_(static_cast<std::size_t>(kv_heads * sequences)),
        scratch_at_(heads_.size()) {}

  std::int64_t size() const { return std::ssize(heads_); }
  void Set(std::int64_t i, std::unique_ptr<DecodeHead> head) { heads_[i] = std::move(head); }

  // After all have been set: cuts the work into tasks, several for each thread.
  std::vector<Work> Begin() {
    std::int64_t floats = 0, units = 0;
    for (std::int64_t i = 0; i < size(); ++i) {
      scratch_at_[i] = floats;
      floats += heads_[i]->scratch_floats();
      units += heads_[i]->pieces();
    }
    static thread_local AlignedVector<float> scratch;
    scratch.resize(std::max(scratch.size(), static_cast<std::size_t>(floats)));
    scratch_ = scratch.data();  // all threads write here, not to their own scratch
    const std::int64_t at_once = std::clamp<std::int64_t>(units / (4 * Threads()), 1, kv_heads_);
    std::vector<Work> work;
    for (std::int64_t first = 0; first < size(); first += kv_heads_) {
      for (std::int64_t piece = 0; piece < heads_[first]->pieces(); ++piece) {
        for (std::int64_t h = first; h < first + kv_heads_; h += at_once)
          work.push_back({h, std::min(h + at_once, first + kv_heads_), piece});
      }
    }
    return work;
  }

  void Run(const Work& work) const {
    const auto& [first, end, piece] = work;
    for (std::int64_t h = first; h < end; ++h) heads_[h]->Begin(piece, scratch_ + scratch_at_[h]);
    const std::int64_t end_block = heads_[first]->EndBlock(piece);
    for (std::int64_t b = heads_[first]->FirstBlock(piece); b < end_block; ++b) {
      const std::byte* page_end = heads_[end - 1]->Block(b).v.row(kKvBlock);
      const RowStream stream{page_end, b + 1 < end_block ? heads_[first]->Block(b + 1).k.data : page_end};
      for (std::int64_t h = first; h < end; ++h)
        heads_[h]->Add(piece, heads_[h]->Block(b), stream, scratch_ + scratch_at_[h]);
    }
  }

  void Merge(std::int64_t i) const { heads_[i]->Merge(scratch_ + scratch_at_[i]); }

 private:
  const std::int64_t kv_heads_;
  std::vector<std::unique_ptr<DecodeHead>> heads_;
  std::vector<std::int64_t> scratch_at_;
  float* scratch_ = nullptr;
};

// Arithmetic is FloatArithmetic or what takes its place (attention_dots-inl.h).
template <class Arithmetic>
void AttentionForward(const AttentionShape& shape, std::span<const AttentionSequence> sequences) {
  struct PrefillWork {
    const AttentionSequence* sequence;
    std::int64_t kv_head, first;
  };
  std::vector<PrefillWork> prefill;
  std::vector<const AttentionSequence*> decode;
  for (const AttentionSequence& s : sequences) {
    if (s.q.rows == 0) continue;
    if (s.blocks == nullptr && IsDecode(shape, s)) {
      decode.push_back(&s);
      continue;
    }
    // Later queries see more keys: they go first, so that the last tasks to finish are short.
    for (std::int64_t b = (s.q.rows - 1) / kQueryBlock; b >= 0; --b) {
      for (std::int64_t h = 0; h < shape.kv_heads; ++h) prefill.push_back({&s, h, b * kQueryBlock});
    }
  }
  DecodeHeads heads(shape.kv_heads, std::ssize(decode));
  ParallelFor(heads.size(), [&](std::int64_t i) {
    const AttentionSequence& s = *decode[i / shape.kv_heads];
    heads.Set(i, MakeDecodeHead<Arithmetic>(shape, s, i % shape.kv_heads));
  });
  const std::vector<DecodeHeads::Work> pieces = heads.Begin();

  const auto prefill_tasks = static_cast<std::int64_t>(prefill.size());
  ParallelFor(prefill_tasks + static_cast<std::int64_t>(pieces.size()), [&](std::int64_t task) {
    if (task < prefill_tasks) {
      const auto& [s, kv_head, first] = prefill[task];
      Arithmetic::Prefill(shape, *s, kv_head, first, std::min(kQueryBlock, s->q.rows - first));
    } else {
      heads.Run(pieces[task - prefill_tasks]);
    }
  });
  ParallelFor(heads.size(), [&](std::int64_t i) { heads.Merge(i); });
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
