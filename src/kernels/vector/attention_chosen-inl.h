// Which KV blocks the panels of a task of prefill look at, where a choice was made (KeyBlocks).
#if defined(LONGSPAN_KERNELS_VECTOR_ATTENTION_CHOSEN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_ATTENTION_CHOSEN_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_ATTENTION_CHOSEN_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_ATTENTION_CHOSEN_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <vector>

#include "kernels/key_blocks.h"
#include "kernels/vector/attention_columns-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2  // see vector_targets.h

class ChosenBlocks {
 public:
  // Without `blocks`, everything is looked at.
  ChosenBlocks(const QueryColumns& columns, const KeyBlocks* blocks) {
    if (blocks == nullptr) return;
    panels_.resize(columns.panels());
    for (std::int64_t c = 0; c < columns.columns(); ++c)
      panels_[c / kPanel].Add(blocks, columns.head(c), columns.query(c));
  }

  // Whether any panel, or panel p, looks at KV block b.
  bool Any(std::int64_t b) const {
    return panels_.empty() || std::ranges::any_of(panels_, [&](const auto& p) { return p.Columns(b) != 0; });
  }
  bool Any(std::int64_t p, std::int64_t b) const { return panels_.empty() || panels_[p].Columns(b) != 0; }

  // Hides scores [keys, kPanel] of KV block b from the columns of panel p that do not look at it.
  void Mask(std::int64_t p, std::int64_t b, std::int64_t keys, float* scores) const {
    if (panels_.empty()) return;
    const std::uint64_t hidden = panels_[p].all() & ~panels_[p].Columns(b);
    if (hidden == 0) return;
    for (std::int64_t t = 0; t < kPanel; ++t) {
      if ((hidden >> t & 1) == 0) continue;
      for (std::int64_t j = 0; j < keys; ++j) scores[j * kPanel + t] = kMasked;
    }
  }

 private:
  std::vector<PanelBlocks> panels_;
};

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
