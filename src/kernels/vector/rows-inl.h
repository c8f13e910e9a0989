// Operations by rows or by elements: norms, rotary embedding, SwiGLU, cross-entropy.
#if defined(LONGSPAN_KERNELS_VECTOR_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_ROWS_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_ROWS_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_ROWS_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "kernels/kernels.h"
#include "kernels/vector/matmul-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

// Calls body(first, count) for pieces of [0, n). The pieces do not depend on the number of threads.
template <class Body>
void ForPieces(std::int64_t n, std::int64_t piece, Body&& body) {
  ParallelFor((n + piece - 1) / piece,
              [&](std::int64_t i) { body(i * piece, std::min(piece, n - i * piece)); });
}

inline constexpr std::int64_t kRowPiece = 32;
inline constexpr std::int64_t kElementPiece = 1 << 16;

// to[i] = f(vectors at i of each input) for i in [0, n), whatever n is: the last vector is partial.
template <class F, class... From>
HWY_INLINE void Map(std::int64_t n, float* to, F&& f, const From*... from) {
  const FloatTag d;
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(f(hn::LoadU(d, from + i)...), d, to + i);
  if (i == n) return;
  HWY_ALIGN float in[sizeof...(From)][kLanes] = {};
  HWY_ALIGN float out[kLanes];
  std::size_t input = 0;
  const auto partial = [&](const float* p) {
    float* at = in[input++];
    std::copy(p + i, p + n, at);
    return hn::LoadU(d, at);
  };
  // Braces evaluate in order, which `input` relies on.
  const FloatVec vectors[] = {partial(from)...};
  [&]<std::size_t... kIndex>(std::index_sequence<kIndex...>) { hn::StoreU(f(vectors[kIndex]...), d, out); }
  (std::index_sequence_for<From...>{});
  std::copy(out, out + (n - i), to + i);
}

inline float InverseRms(std::span<const float> x, float epsilon) {
  const auto n = static_cast<std::int64_t>(x.size());
  return 1.0f / std::sqrt(Dot(x.data(), x.data(), n) / static_cast<float>(n) + epsilon);
}

inline void RmsNormRows(ConstRows x, std::span<const float> weight, float epsilon, Rows y) {
  ForPieces(x.rows, kRowPiece, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t i = first; i < first + count; ++i) {
      const FloatVec r = hn::Set(FloatTag(), InverseRms(x[i], epsilon));
      Map(
          x.cols, y[i].data(), [&](FloatVec v, FloatVec w) { return hn::Mul(hn::Mul(v, r), w); }, x[i].data(),
          weight.data());
    }
  });
}

inline void RmsNormRowsBackward(ConstRows x, std::span<const float> weight, float epsilon, ConstRows dy,
                                Rows dx, std::span<float> dweight) {
  std::vector<float> inverse(static_cast<std::size_t>(x.rows));
  ForPieces(x.rows, kRowPiece, [&](std::int64_t first, std::int64_t count) {
    AlignedVector<float> weighted(static_cast<std::size_t>(x.cols));
    for (std::int64_t i = first; i < first + count; ++i) {
      const float r = inverse[i] = InverseRms(x[i], epsilon);
      Map(
          x.cols, weighted.data(), [](FloatVec g, FloatVec w) { return hn::Mul(g, w); }, dy[i].data(),
          weight.data());
      const float dot = Dot(weighted.data(), x[i].data(), x.cols) * r / static_cast<float>(x.cols);
      const FloatVec scale = hn::Set(FloatTag(), r), shrink = hn::Set(FloatTag(), r * dot);
      Map(
          x.cols, dx[i].data(),
          [&](FloatVec before, FloatVec g, FloatVec v) {
            return hn::MulAdd(scale, hn::NegMulAdd(v, shrink, g), before);
          },
          dx[i].data(), weighted.data(), x[i].data());
    }
  });
  if (dweight.empty()) return;
  // By columns, so that each sum has one order.
  ForPieces(x.cols, kLanes, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t i = 0; i < x.rows; ++i) {
      const float r = inverse[i];
      for (std::int64_t j = first; j < first + count; ++j) dweight[j] += dy.at(i, j) * x.at(i, j) * r;
    }
  });
}

// Rotates the `pairs` pairs of one head: elements kStep * j and kStep * j + other.
template <int kStep>
HWY_INLINE void TurnPairs(float* at, std::int64_t other, std::int64_t pairs, const float* cos,
                          const float* sin, bool inverse) {
  for (std::int64_t j = 0; j < pairs; ++j) {
    float &first = at[kStep * j], &second = at[kStep * j + other];
    const float a = first, b = second, sine = inverse ? -sin[j] : sin[j];
    first = a * cos[j] - b * sine;
    second = a * sine + b * cos[j];
  }
}

inline void RopeRows(Rows x, std::int64_t head_dim, RopePairing pairing, ConstRows cos, ConstRows sin,
                     bool inverse) {
  const std::int64_t pairs = head_dim / 2;
  ForPieces(x.rows, kRowPiece, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t i = first; i < first + count; ++i) {
      for (std::int64_t head = 0; head < x.cols; head += head_dim) {
        float* at = &x.at(i, head);
        if (pairing == RopePairing::kNeighbours) {
          TurnPairs<2>(at, 1, pairs, cos[i].data(), sin[i].data(), inverse);
        } else {
          TurnPairs<1>(at, pairs, pairs, cos[i].data(), sin[i].data(), inverse);
        }
      }
    }
  });
}

HWY_INLINE FloatVec SigmoidOf(FloatVec x) {
  const FloatTag d;
  const FloatVec one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, hn::Exp(d, hn::Neg(x))));
}

inline void SwiGluRows(ConstRows gate, ConstRows up, Rows y) {
  ForPieces(gate.rows, kRowPiece, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t i = first; i < first + count; ++i) {
      Map(
          gate.cols, y[i].data(), [](FloatVec g, FloatVec u) { return hn::Mul(hn::Mul(g, SigmoidOf(g)), u); },
          gate[i].data(), up[i].data());
    }
  });
}

inline void SwiGluRowsBackward(ConstRows gate, ConstRows up, ConstRows dy, Rows dgate, Rows dup) {
  ForPieces(gate.rows, kRowPiece, [&](std::int64_t first, std::int64_t count) {
    const FloatVec one = hn::Set(FloatTag(), 1.0f);
    AlignedVector<float> d_gate(static_cast<std::size_t>(gate.cols));
    for (std::int64_t i = first; i < first + count; ++i) {
      Map(
          gate.cols, d_gate.data(),
          [&](FloatVec g, FloatVec u, FloatVec d) {
            const FloatVec s = SigmoidOf(g);
            return hn::Mul(hn::Mul(hn::Mul(d, u), s), hn::MulAdd(g, hn::Sub(one, s), one));
          },
          gate[i].data(), up[i].data(), dy[i].data());
      Map(
          gate.cols, dup[i].data(),
          [](FloatVec g, FloatVec d) { return hn::Mul(d, hn::Mul(g, SigmoidOf(g))); }, gate[i].data(),
          dy[i].data());
      std::copy(d_gate.begin(), d_gate.end(), dgate[i].begin());  // only now, because it may be gate itself
    }
  });
}

// log(sum(exp(x))) of a row, summed in double.
inline double LogSumExp(std::span<const float> x, float* largest_out) {
  const FloatTag d;
  const auto n = static_cast<std::int64_t>(x.size());
  const float largest = *std::max_element(x.begin(), x.end());
  const FloatVec shift = hn::Set(d, largest);
  double total = 0;
  HWY_ALIGN float lanes[kLanes] = {};
  // Vectors of partial sums, folded into the double before they grow long.
  constexpr std::int64_t kFold = 64 * kLanes;
  for (std::int64_t first = 0; first < n; first += kFold) {
    FloatVec sum = hn::Zero(d);
    const std::int64_t end = std::min(n, first + kFold);
    std::int64_t i = first;
    for (; i + kLanes <= end; i += kLanes)
      sum = hn::Add(sum, hn::Exp(d, hn::Sub(hn::LoadU(d, x.data() + i), shift)));
    hn::StoreU(sum, d, lanes);
    for (const float lane : lanes) total += lane;
    for (; i < end; ++i) total += std::exp(x[i] - largest);
  }
  *largest_out = largest;
  return std::log(total) + largest;
}

inline void CrossEntropyRows(ConstRows logits, std::span<const std::int32_t> targets,
                             std::span<double> losses) {
  ForPieces(logits.rows, 8, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t i = first; i < first + count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      float largest;
      losses[at] = targets[at] < 0 ? 0.0 : LogSumExp(logits[i], &largest) - logits.at(i, targets[at]);
    }
  });
}

inline void CrossEntropyRowsBackward(Rows logits, std::span<const std::int32_t> targets, float scale,
                                     std::span<double> losses) {
  ForPieces(logits.rows, 8, [&](std::int64_t first, std::int64_t count) {
    const FloatTag d;
    for (std::int64_t i = first; i < first + count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::span<float> row = logits[i];
      if (targets[at] < 0) {
        losses[at] = 0;
        std::fill(row.begin(), row.end(), 0.0f);
        continue;
      }
      float largest;
      const double lse = LogSumExp(row, &largest);
      losses[at] = lse - logits.at(i, targets[at]);
      const FloatVec shift = hn::Set(d, static_cast<float>(lse)), factor = hn::Set(d, scale);
      Map(
          logits.cols, row.data(), [&](FloatVec x) { return hn::Mul(hn::Exp(d, hn::Sub(x, shift)), factor); },
          row.data());
      logits.at(i, targets[at]) -= scale;
    }
  });
}

inline void AddRows(ConstRows x, Rows y) {
  ForPieces(x.rows, kRowPiece, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t i = first; i < first + count; ++i) {
      Map(
          x.cols, y[i].data(), [](FloatVec a, FloatVec b) { return hn::Add(a, b); }, y[i].data(),
          x[i].data());
    }
  });
}

inline void ScaleElements(float factor, std::span<float> x) {
  ForPieces(static_cast<std::int64_t>(x.size()), kElementPiece, [&](std::int64_t first, std::int64_t count) {
    const FloatVec f = hn::Set(FloatTag(), factor);
    float* at = x.data() + first;
    Map(
        count, at, [&](FloatVec v) { return hn::Mul(v, f); }, at);
  });
}

inline double SumOfSquaresOf(std::span<const float> x) {
  constexpr std::int64_t kPiece = 4096;
  const auto n = static_cast<std::int64_t>(x.size());
  std::vector<double> sums(static_cast<std::size_t>((n + kPiece - 1) / kPiece));
  ForPieces(n, kPiece, [&](std::int64_t first, std::int64_t count) {
    sums[first / kPiece] = Dot(x.data() + first, x.data() + first, count);
  });
  double total = 0;
  for (const double s : sums) total += s;
  return total;
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
