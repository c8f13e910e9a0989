#include "eval/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "encode/encode.h"
#include "eval/likelihood.h"
#include "model/linears.h"
#include "nn/embedding.h"
#include "quantize/quantize.h"
#include "tensor/codec.h"

namespace longspan {
namespace {

constexpr std::int64_t kSampledWeights = std::int64_t{1} << 18;  // encoded to see a type's error
constexpr std::int64_t kLogitRows = 64;                          // of logits that exist at a time

using Squares = std::vector<double>;  // a column's sum of squares

void AddSquares(ConstRows x, Squares& squares) {
  squares.resize(x.cols);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j) squares[j] += double{x.at(i, j)} * x.at(i, j);
  }
}

// Carries chunks through a model, one layer at a time. From the current layer they can be run to the end with
// one weight changed.
class Walk {
 public:
  Walk(const Transformer& model, std::span<const TokenDocument> chunks)
      : model_(model),
        chunks_(chunks),
        rope_(Positions(std::ssize(chunks.front())), model.rope().inverse, model.rope().magnitude,
              model.rope().pairing) {
    states_.resize(chunks.size());
    for (std::size_t c = 0; c < chunks.size(); ++c) {
      if (chunks[c].size() != chunks.front().size()) Fail(ErrorKind::kInternal, "chunks of several lengths");
      Embed(model.weights().embedding, c, states_[c]);
    }
    for (std::size_t c = 0; c < chunks.size(); ++c) {
      Matrix x = states_[c];
      RunFrom(0, nullptr, x);
      finals_.push_back(std::move(x));
    }
  }

  std::size_t layer() const { return layer_; }
  const Squares& squares(Part part) const { return squares_.at(part); }  // of this layer's inputs
  Squares OutputSquares() const {
    Squares squares;
    for (const Matrix& final : finals_) AddSquares(final, squares);
    return squares;
  }

  // Collects the squares of the inputs of this layer's weights.
  void Look() {
    squares_.clear();
    for (const Matrix& state : states_) {
      Matrix x = state;
      BlockForward(model_.blocks()[layer_], Context(), x, activations_);
      for (const LinearPart& l : kLinears) AddSquares(activations_.*l.input, squares_[l.part]);
    }
  }
  // Moves on to the next layer.
  void Advance() {
    for (Matrix& state : states_) BlockForward(model_.blocks()[layer_], Context(), state, activations_);
    ++layer_;
  }

  // The mean KL over all tokens of the model with this layer changed.
  double WithBlock(const Block& changed) {
    return Mean([&](std::size_t c) {
      Matrix x = states_[c];
      RunFrom(layer_, &changed, x);
      return Divergence(finals_[c], x, model_.weights().output);
    });
  }
  // The same with another output matrix.
  double WithOutput(const Tensor& output) {
    return Mean([&](std::size_t c) { return Divergence(finals_[c], finals_[c], output); });
  }
  // The same with another embedding. `output` may be that embedding too.
  double WithEmbedding(const Tensor& embedding, const Tensor& output) {
    return Mean([&](std::size_t c) {
      Matrix x;
      Embed(embedding, c, x);
      RunFrom(0, nullptr, x);
      return Divergence(finals_[c], x, output);
    });
  }

 private:
  static std::vector<std::int32_t> Positions(std::int64_t tokens) {
    std::vector<std::int32_t> positions(static_cast<std::size_t>(tokens));
    std::iota(positions.begin(), positions.end(), 0);
    return positions;
  }
  BlockContext Context() const {
    return {model_.kernels(), model_.attention_shape(), static_cast<float>(model_.config().norm_epsilon),
            rope_};
  }
  void Embed(const Tensor& table, std::size_t chunk, Matrix& x) const {
    x.Resize(std::ssize(chunks_[chunk]), model_.config().dim);
    EmbeddingForward(table, chunks_[chunk], x);
  }
  // Takes `x` from the input of layer `first` to the input of the output matrix. `changed` replaces that
  // layer unless it is null.
  void RunFrom(std::size_t first, const Block* changed, Rows x) {
    ThrowIfCancelled();
    for (std::size_t i = first; i < model_.blocks().size(); ++i) {
      BlockForward(i == first && changed != nullptr ? *changed : model_.blocks()[i], Context(), x,
                   activations_);
    }
    model_.kernels().RmsNorm(x, model_.output_norm(), static_cast<float>(model_.config().norm_epsilon), x);
  }
  // The sum over a chunk. The logits of both models are computed here, because keeping them would take a
  // value for each token and each entry of the vocabulary.
  double Divergence(ConstRows reference, ConstRows hidden, const Tensor& output) {
    double sum = 0;
    for (std::int64_t first = 0; first < hidden.rows; first += kLogitRows) {
      const std::int64_t rows = std::min(kLogitRows, hidden.rows - first);
      p_.Resize(rows, output.rows());
      q_.Resize(rows, output.rows());
      model_.kernels().MatMul(reference.Slice(first, rows), model_.weights().output, p_, Store::kSet);
      model_.kernels().MatMul(hidden.Slice(first, rows), output, q_, Store::kSet);
      std::vector<double> of_rows(static_cast<std::size_t>(rows));
      ParallelFor(rows, [&](std::int64_t i) { of_rows[i] = KlDivergence(p_[i], q_[i]); });
      sum = std::accumulate(of_rows.begin(), of_rows.end(), sum);
    }
    return sum;
  }
  template <class OfChunk>
  double Mean(OfChunk&& of_chunk) {
    double sum = 0;
    for (std::size_t c = 0; c < chunks_.size(); ++c) sum += of_chunk(c);
    return sum / static_cast<double>(chunks_.size() * chunks_.front().size());
  }

  const Transformer& model_;
  std::span<const TokenDocument> chunks_;
  RopeTable rope_;
  std::size_t layer_ = 0;
  std::vector<Matrix> states_, finals_;  // of each chunk, [tokens, dim]
  std::map<Part, Squares> squares_;
  BlockActivations activations_;
  Matrix p_, q_;
};

Tensor Encode(const Tensor& weight, Type type, const float* importance) {
  Tensor encoded = Tensor::Allocate(type, weight.shape());
  const EncodingError error = Reencode(weight.type(), weight.bytes(), type, encoded.mutable_bytes(),
                                       weight.rows(), weight.cols(), importance);
  CheckUnfit(error.unfit, type, TooLarge::kClip);  // quantize refuses what is too large, unless it may clip
  return encoded;
}

// The relative error of x W, for independent inputs x with these squares.
double RelativeError(const Tensor& weight, Type type, const float* importance, const Squares& squares) {
  const std::int64_t cols = weight.cols();
  const std::int64_t rows = std::min(weight.rows(), std::max<std::int64_t>(16, kSampledWeights / cols));
  struct Sums {
    double error = 0, all = 0;
  };
  std::vector<Sums> sums(static_cast<std::size_t>(rows));
  ParallelFor(rows, [&](std::int64_t i) {
    ThrowIfCancelled();
    const std::span<const std::byte> from = weight.row(i * weight.rows() / rows);
    AlignedVector<float> values(static_cast<std::size_t>(cols)), decoded(values.size());
    AlignedVector<std::byte> encoded(static_cast<std::size_t>(RowBytes(type, cols)));
    DecodeRow(weight.type(), from.data(), values.data(), cols);
    EncodeRow(type, values.data(), encoded.data(), cols, importance);
    DecodeRow(type, encoded.data(), decoded.data(), cols);
    Sums& sum = sums[i];
    for (std::size_t j = 0; j < values.size(); ++j) {
      const double miss = double{values[j]} - decoded[j];
      sum.error += squares[j] * miss * miss;
      sum.all += squares[j] * values[j] * values[j];
    }
  });
  Sums total;
  for (const Sums& s : sums) {
    total.error += s.error;
    total.all += s.all;
  }
  return total.all > 0 ? std::sqrt(total.error / total.all) : 0;
}

// Measures requests in the order of the layers.
class Meter {
 public:
  Meter(const Transformer& model, std::span<const TokenDocument> chunks, const ImportanceMatrix* importance,
        std::int64_t measurements, Progress& progress)
      : model_(model), importance_(importance), progress_(progress), walk_(model, chunks) {
    progress_.Start("sensitivity", measurements, "measurements");
  }

  template <class DivergenceOf>
  Sensitivity Measure(const SensitivityRequest& request, const Tensor& weight, const Squares& squares,
                      DivergenceOf&& divergence_of) {
    std::vector<float> means;
    if (importance_ != nullptr) means = importance_->MeanSquares(GgufName(request.weight), 1, weight.cols());
    const float* importance = means.empty() ? nullptr : means.data();
    Sensitivity result{request.weight, {}};
    std::vector<TypeHarm> measured;
    for (const Type type : request.measured) {
      const double error = RelativeError(weight, type, importance, squares);
      const double divergence = divergence_of(Encode(weight, type, importance));
      if (!std::isfinite(divergence)) {
        Fail(ErrorKind::kInvalidFile, "the model's logits are not numbers with {} as {}",
             GgufName(request.weight), Traits(type).name);
      }
      measured.push_back({type, error, divergence, true});
      progress_.Update(++done_, fmt::format("{} {} {:.6f}", Name(request.weight), Traits(type).name,
                                            measured.back().divergence));
    }
    for (const Type type : request.types) {
      const auto it = std::ranges::find(measured, type, &TypeHarm::type);
      if (it != measured.end()) {
        result.harms.push_back(*it);
        continue;
      }
      if (type == weight.type()) {  // stays as it is
        result.harms.push_back({type, 0, 0, false});
        continue;
      }
      const double error = RelativeError(weight, type, importance, squares);
      result.harms.push_back({type, error, EstimateDivergence(measured, error), false});
    }
    return result;
  }

  Sensitivity Ends(const SensitivityRequest& request) {
    const Weights& w = model_.weights();
    const bool tied = model_.config().tied_embeddings;
    if (request.weight.part == Part::kOutput) {
      return Measure(request, w.output, walk_.OutputSquares(),
                     [&](const Tensor& t) { return walk_.WithOutput(t); });
    }
    if (tied) {
      return Measure(request, w.embedding, walk_.OutputSquares(),
                     [&](const Tensor& t) { return walk_.WithEmbedding(t, t); });
    }
    const Squares alike(static_cast<std::size_t>(w.embedding.cols()), 1.0);
    return Measure(request, w.embedding, alike,
                   [&](const Tensor& t) { return walk_.WithEmbedding(t, w.output); });
  }

  // `layer` is not before the layer of an earlier request.
  Sensitivity InLayer(const SensitivityRequest& request, std::size_t layer, const LinearPart& part) {
    while (walk_.layer() < layer) {
      walk_.Advance();
      looked_ = false;
    }
    if (!looked_) walk_.Look();
    looked_ = true;
    const Block& block = model_.blocks()[layer];
    return Measure(request, (block.*part.linear).weight, walk_.squares(part.part), [&](const Tensor& t) {
      Block changed = block;
      (changed.*part.linear).weight = t;
      return walk_.WithBlock(changed);
    });
  }

 private:
  const Transformer& model_;
  const ImportanceMatrix* importance_;
  Progress& progress_;
  Walk walk_;
  bool looked_ = false;
  std::int64_t done_ = 0;
};

// Layer and part of a matrix, unless it is the embedding or the output.
using Place = std::pair<std::size_t, const LinearPart*>;
std::optional<Place> PlaceInLayers(WeightId id, std::size_t layers) {
  if (id == WeightId{-1, Part::kEmbedding} || id == WeightId{-1, Part::kOutput}) return std::nullopt;
  const LinearPart* const part = FindLinear(id.part);
  if (part == nullptr || id.layer < 0 || std::cmp_greater_equal(id.layer, layers))
    Fail(ErrorKind::kInternal, "no matrix is called {}", Name(id));
  return Place(static_cast<std::size_t>(id.layer), part);
}

}  // namespace

double EstimateDivergence(std::span<const TypeHarm> measured, double relative_error) {
  if (measured.empty() || relative_error == 0) return 0;
  // The measurement whose error is nearest, as a ratio.
  const auto distance = [&](const TypeHarm& m) {
    return m.relative_error > 0 ? std::abs(std::log(relative_error / m.relative_error)) : HUGE_VAL;
  };
  const TypeHarm& near = *std::ranges::min_element(measured, {}, distance);
  // The measured type stores the weight without error, which says nothing about other types. The square of an
  // error is of the order of its divergence.
  if (near.relative_error <= 0) return relative_error * relative_error;
  // Quadratic, unless two measurements say otherwise. The exponent that they give is clamped, because both
  // have noise.
  double exponent = 2;
  if (measured.size() > 1) {
    const TypeHarm &a = measured.front(), &b = measured.back();
    const double errors = std::log(a.relative_error / b.relative_error);
    if (std::abs(errors) > 0.1 && a.divergence > 0 && b.divergence > 0) {
      exponent = std::clamp(std::log(a.divergence / b.divergence) / errors, 1.5, 3.0);
    }
  }
  return near.divergence * std::pow(relative_error / near.relative_error, exponent);
}

std::vector<Sensitivity> MeasureSensitivity(const Transformer& model, std::span<const TokenDocument> chunks,
                                            std::span<const SensitivityRequest> requests,
                                            const ImportanceMatrix* importance, Progress& progress) {
  if (chunks.empty()) Fail(ErrorKind::kInternal, "no calibration text");
  std::int64_t measurements = 0;
  std::vector<std::size_t> order(requests.size());
  std::iota(order.begin(), order.end(), 0);
  std::vector<std::optional<Place>> places;
  for (const SensitivityRequest& request : requests) {
    measurements += std::ssize(request.measured);
    places.push_back(PlaceInLayers(request.weight, model.blocks().size()));
  }
  // The walk goes through the layers once.
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return places[i] ? places[i]->first + 1 : 0; });

  Meter meter(model, chunks, importance, measurements, progress);
  std::vector<Sensitivity> results(requests.size());
  for (const std::size_t i : order) {
    results[i] = places[i] ? meter.InLayer(requests[i], places[i]->first, *places[i]->second)
                           : meter.Ends(requests[i]);
  }
  progress.Finish();
  return results;
}

}  // namespace longspan
