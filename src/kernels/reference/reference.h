// The operations of kernels.h as plain loops over any floating type. In float they are the oracle. In double,
// tests take finite differences of them. They are written to be read, not to be fast.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "tensor/rows.h"

namespace longspan::reference {

// y [n, out] (+)= x [n, in] w^T [in, out]
template <class T>
void MatMul(RowsOf<const T> x, RowsOf<const T> w, RowsOf<T> y, Store store) {
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t o = 0; o < w.rows; ++o) {
      T sum = 0;
      for (std::int64_t j = 0; j < x.cols; ++j) sum += x.at(i, j) * w.at(o, j);
      y.at(i, o) = store == Store::kAdd ? y.at(i, o) + sum : sum;
    }
  }
}

template <class T>
void MatMulInputGradient(RowsOf<const T> dy, RowsOf<const T> w, RowsOf<T> dx, Store store) {
  for (std::int64_t i = 0; i < dy.rows; ++i) {
    for (std::int64_t j = 0; j < w.cols; ++j) {
      T sum = 0;
      for (std::int64_t o = 0; o < w.rows; ++o) sum += dy.at(i, o) * w.at(o, j);
      dx.at(i, j) = store == Store::kAdd ? dx.at(i, j) + sum : sum;
    }
  }
}

template <class T>
void MatMulWeightGradient(RowsOf<const T> dy, RowsOf<const T> x, RowsOf<T> dw) {
  for (std::int64_t o = 0; o < dw.rows; ++o) {
    for (std::int64_t j = 0; j < dw.cols; ++j) {
      T sum = 0;
      for (std::int64_t i = 0; i < dy.rows; ++i) sum += dy.at(i, o) * x.at(i, j);
      dw.at(o, j) += sum;
    }
  }
}

// Whether the query of order q sees the key of order k.
inline bool Sees(const AttentionShape& shape, std::int64_t q, std::int64_t k,
                 std::span<const std::int32_t> documents) {
  return k <= q && q - k < shape.window && (documents.empty() || documents[k] == documents[q]);
}

// The softmax row of query `order`, head by head; key(j, d) gives keys, and sees(j) says which ones the query
// sees. Returns probabilities of the keys 0..order.
template <class T, class Key, class SeesKey>
std::vector<T> Probabilities(const AttentionShape& shape, std::span<const T> q, std::int64_t order,
                             SeesKey&& sees, Key&& key, T* log_sum_exp) {
  const auto scale = static_cast<T>(shape.scale);
  std::vector<T> p(static_cast<std::size_t>(order + 1), -std::numeric_limits<T>::infinity());
  T largest = -std::numeric_limits<T>::infinity();
  for (std::int64_t j = 0; j <= order; ++j) {
    if (!sees(j)) continue;
    T sum = 0;
    for (std::size_t d = 0; d < q.size(); ++d)
      sum += q[d] * static_cast<T>(key(j, static_cast<std::int64_t>(d)));
    p[j] = sum * scale;
    largest = std::max(largest, sum * scale);
  }
  T total = 0;
  for (T& x : p) total += x = std::exp(x - largest);
  for (T& x : p) x /= total;
  if (log_sum_exp != nullptr) *log_sum_exp = largest + std::log(total);
  return p;
}

// q [n, heads * head_dim]; key(kv_head, j, d) and value(kv_head, j, d) read keys and values. `blocks` as
// AttentionSequence has it.
template <class T, class Key, class Value>
void Attention(const AttentionShape& s, RowsOf<const T> q, std::int64_t first_order,
               std::span<const std::int32_t> documents, Key&& key, Value&& value, RowsOf<T> out,
               RowsOf<T> log_sum_exp, const KeyBlocks* blocks = nullptr) {
  for (std::int64_t h = 0; h < s.heads; ++h) {
    const std::int64_t kv = h / s.group();
    for (std::int64_t i = 0; i < q.rows; ++i) {
      T lse;
      const auto p = Probabilities<T>(
          s, q.Columns(h * s.head_dim, s.head_dim)[i], first_order + i,
          [&](std::int64_t j) {
            return Sees(s, first_order + i, j, documents) && (blocks == nullptr || blocks->Chosen(h, i, j));
          },
          [&](std::int64_t j, std::int64_t d) { return key(kv, j, d); }, &lse);
      if (log_sum_exp.data != nullptr) log_sum_exp.at(h, i) = lse;
      for (std::int64_t d = 0; d < s.head_dim; ++d) {
        T sum = 0;
        for (std::size_t j = 0; j < p.size(); ++j) {
          if (p[j] != 0) sum += p[j] * static_cast<T>(value(kv, static_cast<std::int64_t>(j), d));
        }
        out.at(i, h * s.head_dim + d) = sum;
      }
    }
  }
}

// The gradient of Attention for one sequence that attends to itself; all outputs are set.
template <class T>
void AttentionBackward(const AttentionShape& s, RowsOf<const T> q, RowsOf<const T> k, RowsOf<const T> v,
                       std::span<const std::int32_t> documents, RowsOf<const T> dout, RowsOf<T> dq,
                       RowsOf<T> dk, RowsOf<T> dv) {
  for (const RowsOf<T>& rows : {dq, dk, dv}) {
    for (std::int64_t i = 0; i < rows.rows; ++i) std::fill(rows[i].begin(), rows[i].end(), T{0});
  }
  for (std::int64_t h = 0; h < s.heads; ++h) {
    const std::int64_t at = h * s.head_dim, kv_at = h / s.group() * s.head_dim;
    for (std::int64_t i = 0; i < q.rows; ++i) {
      const auto p = Probabilities<T>(
          s, q.Columns(at, s.head_dim)[i], i, [&](std::int64_t j) { return Sees(s, i, j, documents); },
          [&](std::int64_t j, std::int64_t d) { return k.at(j, kv_at + d); }, nullptr);
      // dP_j = dO . v_j, and the softmax's gradient is P (dP - sum P dP).
      std::vector<T> dp(p.size(), 0);
      T mean = 0;
      for (std::size_t j = 0; j < p.size(); ++j) {
        for (std::int64_t d = 0; d < s.head_dim; ++d) {
          dp[j] += dout.at(i, at + d) * v.at(static_cast<std::int64_t>(j), kv_at + d);
        }
        mean += p[j] * dp[j];
      }
      for (std::size_t j = 0; j < p.size(); ++j) {
        const auto key = static_cast<std::int64_t>(j);
        const T ds = p[j] * (dp[j] - mean) * static_cast<T>(s.scale);
        for (std::int64_t d = 0; d < s.head_dim; ++d) {
          dq.at(i, at + d) += ds * k.at(key, kv_at + d);
          dk.at(key, kv_at + d) += ds * q.at(i, at + d);
          dv.at(key, kv_at + d) += p[j] * dout.at(i, at + d);
        }
      }
    }
  }
}

// Kernels::KeyBlockMass of keys k [length, kv_heads * head_dim].
void KeyBlockMass(const AttentionShape& shape, const AttentionInput& s, ConstRows k, Rows mass);

template <class T>
T InverseRms(std::span<const T> x, T epsilon) {
  T squares = 0;
  for (const T v : x) squares += v * v;
  return 1 / std::sqrt(squares / static_cast<T>(x.size()) + epsilon);
}

template <class T>
void RmsNorm(RowsOf<const T> x, std::span<const T> weight, T epsilon, RowsOf<T> y) {
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const T r = InverseRms<T>(x[i], epsilon);
    for (std::int64_t j = 0; j < x.cols; ++j) y.at(i, j) = x.at(i, j) * r * weight[j];
  }
}

template <class T>
void RmsNormBackward(RowsOf<const T> x, std::span<const T> weight, T epsilon, RowsOf<const T> dy,
                     RowsOf<T> dx, std::span<T> dweight) {
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const T r = InverseRms<T>(x[i], epsilon);
    T dot = 0;  // of the gradient with the normalised row
    for (std::int64_t j = 0; j < x.cols; ++j) dot += dy.at(i, j) * weight[j] * x.at(i, j) * r;
    dot /= static_cast<T>(x.cols);
    for (std::int64_t j = 0; j < x.cols; ++j) {
      const T normalised = x.at(i, j) * r;
      if (!dweight.empty()) dweight[j] += dy.at(i, j) * normalised;
      dx.at(i, j) += r * (dy.at(i, j) * weight[j] - normalised * dot);
    }
  }
}

template <class T>
void Rope(RowsOf<T> x, std::int64_t head_dim, RopePairing pairing, RowsOf<const T> cos, RowsOf<const T> sin,
          bool inverse) {
  const bool neighbours = pairing == RopePairing::kNeighbours;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t first = 0; first < x.cols; first += head_dim) {
      for (std::int64_t j = 0; j < head_dim / 2; ++j) {
        T& a = x.at(i, first + (neighbours ? 2 * j : j));
        T& b = x.at(i, first + (neighbours ? 2 * j + 1 : j + head_dim / 2));
        const T c = cos.at(i, j), s = inverse ? -sin.at(i, j) : sin.at(i, j);
        const T turned = a * c - b * s;
        b = a * s + b * c;
        a = turned;
      }
    }
  }
}

template <class T>
T Sigmoid(T x) {
  return 1 / (1 + std::exp(-x));
}

template <class T>
void SwiGlu(RowsOf<const T> gate, RowsOf<const T> up, RowsOf<T> y) {
  for (std::int64_t i = 0; i < gate.rows; ++i) {
    for (std::int64_t j = 0; j < gate.cols; ++j)
      y.at(i, j) = gate.at(i, j) * Sigmoid(gate.at(i, j)) * up.at(i, j);
  }
}

template <class T>
void SwiGluBackward(RowsOf<const T> gate, RowsOf<const T> up, RowsOf<const T> dy, RowsOf<T> dgate,
                    RowsOf<T> dup) {
  for (std::int64_t i = 0; i < gate.rows; ++i) {
    for (std::int64_t j = 0; j < gate.cols; ++j) {
      const T g = gate.at(i, j), u = up.at(i, j), d = dy.at(i, j), s = Sigmoid(g);
      dgate.at(i, j) = d * u * s * (1 + g * (1 - s));
      dup.at(i, j) = d * g * s;
    }
  }
}

// Returns the row's negative log likelihood. With `gradient`, the logits become its gradient times `scale`.
template <class T>
T CrossEntropyRow(std::span<T> logits, std::int32_t target, bool gradient, T scale) {
  if (target < 0) {
    if (gradient) std::fill(logits.begin(), logits.end(), T{0});
    return 0;
  }
  T largest = -std::numeric_limits<T>::infinity();
  for (const T x : logits) largest = std::max(largest, x);
  T total = 0;
  for (const T x : logits) total += std::exp(x - largest);
  const T loss = largest + std::log(total) - logits[target];
  if (gradient) {
    for (T& x : logits) x = std::exp(x - largest) / total * scale;
    logits[target] -= scale;
  }
  return loss;
}

}  // namespace longspan::reference
