#include "benchmark/random_depth.h"

#include <algorithm>
#include <vector>

#include "base/random.h"

namespace longspan {

void AppendRandom(const Kernels& kernels, std::int64_t tokens, KvCache& cache) {
  const KvLayout& layout = cache.layout();
  // The same few rows again and again: drawing all rows at random would take longer than everything else.
  Matrix k(kKvBlock, layout.kv_heads * layout.head_dim), v(k.rows(), k.cols());
  Random random(0, 0, RandomPurpose::kSynthetic);
  for (Matrix* rows : {&k, &v}) {
    for (float& x : rows->span()) x = random.Normal();
  }
  cache.Reserve(tokens);
  std::vector<std::byte*> pages;
  for (std::int64_t layer = 0; layer < cache.pool().layers(); ++layer) {
    cache.LayerPages(layer, pages);
    for (std::int64_t done = 0; done < tokens; done += kKvBlock) {
      const std::int64_t n = std::min(tokens - done, kKvBlock);
      kernels.StoreKv(layout, ConstRows(k).Slice(0, n), ConstRows(v).Slice(0, n), cache.length() + done,
                      pages);
    }
  }
  cache.Advance(tokens);
}

}  // namespace longspan
