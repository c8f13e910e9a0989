// Attention of a batch: each sequence as tasks of the kind that suits its number of queries.
#if defined(LONGSPAN_KERNELS_VECTOR_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_ATTENTION_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_ATTENTION_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_ATTENTION_INL_H_
#endif

#include <algorithm>
#include <vector>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/kernels.h"
#include "kernels/vector/attention_decode-inl.h"
#include "kernels/vector/attention_prefill-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2  // see vector_targets.h

inline void AttentionForward(const AttentionShape& shape, std::span<const AttentionSequence> sequences) {
  struct PrefillWork {
    const AttentionSequence* sequence;
    std::int64_t kv_head, first;
  };
  struct DecodeWork {
    DecodeHead head;
    std::int64_t scratch;  // where its pieces' sums begin
  };
  struct PieceWork {
    std::size_t head;
    std::int64_t piece;
  };
  std::vector<PrefillWork> prefill;
  std::vector<DecodeWork> heads;
  std::vector<PieceWork> pieces;
  std::int64_t scratch_floats = 0;
  for (const AttentionSequence& s : sequences) {
    if (s.q.rows == 0) continue;
    if (s.blocks != nullptr || !IsDecode(shape, s)) {
      // Later queries see more keys: they go first, so that the last tasks to finish are short.
      for (std::int64_t b = (s.q.rows - 1) / kQueryBlock; b >= 0; --b) {
        for (std::int64_t h = 0; h < shape.kv_heads; ++h) prefill.push_back({&s, h, b * kQueryBlock});
      }
      continue;
    }
    const std::size_t first_head = heads.size();
    for (std::int64_t h = 0; h < shape.kv_heads; ++h) {
      const DecodeHead head(shape, s, h);
      heads.push_back({head, scratch_floats});
      scratch_floats += head.scratch_floats();
    }
    // The heads of a page lie side by side, so their tasks follow one another.
    for (std::int64_t i = 0; i < heads.back().head.pieces(); ++i) {
      for (std::size_t h = first_head; h < heads.size(); ++h) pieces.push_back({h, i});
    }
  }

  static thread_local AlignedVector<float> scratch;
  scratch.resize(std::max(scratch.size(), static_cast<std::size_t>(scratch_floats)));
  float* sums = scratch.data();  // all threads write here, not to their own scratch
  const auto prefill_tasks = static_cast<std::int64_t>(prefill.size());
  ParallelFor(prefill_tasks + static_cast<std::int64_t>(pieces.size()), [&](std::int64_t task) {
    if (task < prefill_tasks) {
      const auto& [s, kv_head, first] = prefill[task];
      PrefillTask(shape, *s, kv_head, first, std::min(kQueryBlock, s->q.rows - first));
    } else {
      const PieceWork& work = pieces[task - prefill_tasks];
      const DecodeWork& head = heads[work.head];
      head.head.Piece(work.piece, sums + head.scratch);
    }
  });
  ParallelFor(static_cast<std::int64_t>(heads.size()), [&](std::int64_t h) {
    const DecodeWork& head = heads[h];
    head.head.Merge(sums + head.scratch);
  });
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
