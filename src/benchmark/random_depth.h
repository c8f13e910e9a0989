// Depth to measure at, without the hours that reading so much would take.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"
#include "model/kv_cache.h"

namespace longspan {

// Appends `tokens` tokens whose keys and values are random. What follows is as slow as after a text, and
// means nothing. Error(kOutOfMemory) where the cache's pool has no pages left.
void AppendRandom(const Kernels& kernels, std::int64_t tokens, KvCache& cache);

}  // namespace longspan
