// Keys and values of one sequence, in pages.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "tensor/rows.h"

namespace longspan {

class KvCache {
 public:
  explicit KvCache(const LlamaConfig& config);

  std::int64_t length() const { return length_; }  // tokens held
  void Truncate(std::int64_t length);              // forgets all tokens from `length` on
  void Clear() { Truncate(0); }

 private:
  std::int64_t length_ = 0;
};

}  // namespace longspan
