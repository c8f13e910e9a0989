// Token embedding.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/rows.h"
#include "tensor/tensor.h"

namespace longspan {

// x [n, dim] = rows `tokens` of table {vocab, dim}, decoded. Error(kBadOption) for a token outside the table.
void EmbeddingForward(const Tensor& table, std::span<const std::int32_t> tokens, Rows x);

// dtable [vocab, dim] added: row tokens[i] gets dx[i].
void EmbeddingBackward(std::span<const std::int32_t> tokens, ConstRows dx, Rows dtable);

}  // namespace longspan
