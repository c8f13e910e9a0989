#include "model/induction.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "model/rope_scaling.h"
#include "tensor/rows.h"

namespace longspan {
namespace {

constexpr double kCommon = 0.5;       // size of the direction that all embeddings share, in deviations
constexpr double kPreviousScore = 6;  // of the previous token, above that of its neighbours
constexpr double kMatchScore = 14;    // of a place whose previous token is the current one
constexpr double kFound = 0.25;       // the part of the found embedding that is added to the residual stream
constexpr double kFast = 0.1;         // radians per position: faster pairs tell neighbours apart
constexpr double kSlow = 8;           // radians over the window: slower pairs keep a match at any distance
constexpr std::int64_t kLeastSlowPairs = 4;

Rows View(Tensor& tensor) { return {tensor.mutable_floats().data(), tensor.rows(), tensor.cols()}; }

void AddScaled(std::span<float> to, double scale, std::span<const float> from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += static_cast<float>(scale) * from[i];
}

// Makes each row orthogonal to `direction`, a unit vector.
void Exclude(Rows rows, std::span<const float> direction) {
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    const double dot = std::inner_product(rows[i].begin(), rows[i].end(), direction.begin(), 0.0);
    AddScaled(rows[i], -dot, direction);
  }
}

void ScaleTo(double deviation, Rows rows) {
  double squares = 0;
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    squares += std::inner_product(rows[i].begin(), rows[i].end(), rows[i].begin(), 0.0);
  }
  const double factor = deviation / std::sqrt(squares / static_cast<double>(rows.rows * rows.cols));
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    for (float& x : rows[i]) x *= static_cast<float>(factor);
  }
}

// Makes the parts of an induction head in random weights.
class Builder {
 public:
  Builder(const LlamaConfig& config, std::uint64_t seed)
      : config_(config),
        frequencies_(MakeRopeFrequencies(config).inverse),
        dim_(static_cast<double>(config.dim)),
        head_dim_(static_cast<double>(config.head_dim)),
        common_(static_cast<std::size_t>(config.dim)) {
    Random random(seed, 0, RandomPurpose::kInductionInit);
    for (float& x : common_) x = static_cast<float>((random.Below(2) == 0 ? 1 : -1) / std::sqrt(dim_));
  }

  // Adds a common direction to all embeddings. Heads see it in every token and use it to tell distances.
  void Share(Tensor& embedding) const {
    const Rows rows = View(embedding);
    for (std::int64_t i = 0; i < rows.rows; ++i) {
      AddScaled(rows[i], kInitialDeviation * kCommon * std::sqrt(dim_), common_);
    }
  }

  // The first head writes the previous token's value, as large as an embedding. Its query and key are
  // constant except for RoPE. So their product depends on the distance alone: it is the sum of a^2
  // cos((distance - 1) frequency) over the fast pairs, which peaks at a distance of one.
  void WritePrevious(LayerWeights& layer) const {
    const auto slow =
        std::find_if(frequencies_.begin(), frequencies_.end(), [](double f) { return f < kFast; });
    double contrast = 0;  // between distance one and its neighbours, for a = 1
    for (auto f = frequencies_.begin(); f != slow; ++f) contrast += 1 - std::cos(*f);
    const double strength = kCommon / norm_ * std::sqrt(dim_);  // of the common direction after RMSNorm
    const double a = std::sqrt(kPreviousScore * std::sqrt(head_dim_) / contrast) / strength;
    const Rows q = View(layer.q), k = View(layer.k);
    for (std::int64_t j = 0; j < slow - frequencies_.begin(); ++j) {
      const double f = frequencies_[j];
      AddScaled(k[2 * j], a, common_);
      AddScaled(q[2 * j], a * std::cos(f), common_);
      AddScaled(q[2 * j + 1], -a * std::sin(f), common_);
    }
    Value(layer);
    ScaleTo(kInitialDeviation / std::sqrt(head_dim_) / row_length_, Output(layer));
  }

  // The first head's key reads what WritePrevious has written in the layer before. Its query computes the
  // same value from the current token. Both use the pairs that turn little over the window.
  void LookUp(LayerWeights& before, LayerWeights& layer) const {
    const Rows value = View(before.v), write = Output(before), q = View(layer.q), k = View(layer.k);
    // By what factor rows of unit length scale a value: in the key one that was written, in the query the
    // token's own. RMSNorm has divided by the size of an embedding plus a value.
    const double norm = std::sqrt(norm_ * norm_ + 1);
    const double written = std::sqrt(dim_ / head_dim_) / norm, own = norm_ / norm;
    const std::int64_t first = 2 * FirstSlowPair();
    const double products =
        static_cast<double>(config_.head_dim - first) * written * own / std::sqrt(head_dim_);
    const double gain = std::sqrt(kMatchScore / products);
    const double to_unit = row_length_ * std::sqrt(head_dim_ / dim_) / kInitialDeviation;
    for (std::int64_t row = first; row < config_.head_dim; ++row) {
      for (std::int64_t i = 0; i < config_.dim; ++i) {
        k.at(row, i) = static_cast<float>(gain * to_unit) * write.at(i, row);
        q.at(row, i) = static_cast<float>(gain / row_length_) * value.at(row, i);
      }
    }
  }

  // The first head adds the embedding of the token that it found.
  void Bring(LayerWeights& layer) const {
    const Rows found = Value(layer), output = Output(layer);
    const auto scale = static_cast<float>(kFound / (row_length_ * row_length_));
    for (std::int64_t i = 0; i < config_.dim; ++i) {
      for (std::int64_t j = 0; j < config_.head_dim; ++j) output.at(i, j) = scale * found.at(j, i);
    }
  }

 private:
  // The first head's value projection, made orthogonal to the common direction. Its size stays, because other
  // heads of its group use it too.
  Rows Value(LayerWeights& layer) const {
    const Rows rows = View(layer.v).Slice(0, config_.head_dim);
    Exclude(rows, common_);
    return rows;
  }

  Rows Output(LayerWeights& layer) const { return View(layer.o).Columns(0, config_.head_dim); }

  std::int64_t FirstSlowPair() const {
    const auto window = static_cast<double>(config_.context);
    std::int64_t pair = 0;
    while (pair < config_.head_dim / 2 - kLeastSlowPairs && frequencies_[pair] * window > kSlow) {
      ++pair;
    }
    return pair;
  }

  const LlamaConfig& config_;
  std::vector<double> frequencies_;  // radians per position, [head_dim / 2]
  double dim_, head_dim_;
  double norm_ = std::sqrt(1 + kCommon * kCommon);  // of an embedding, in deviations per element
  double row_length_ =
      kInitialDeviation * std::sqrt(dim_);  // of a value's projection, and so its outputs' deviation
  std::vector<float> common_;
};

}  // namespace

Weights InductionWeights(const LlamaConfig& config, std::uint64_t seed) {
  if (config.architecture != Architecture::kLlama) {
    Fail(ErrorKind::kBadOption, "an induction head needs the architecture llama, found {}",
         Name(config.architecture));
  }
  if (config.layers < 2 || config.head_dim < 4 * kLeastSlowPairs || !config.tied_embeddings) {
    Fail(ErrorKind::kBadOption,
         "an induction head needs 2 layers, heads of {} dimensions and tied embeddings", 4 * kLeastSlowPairs);
  }
  Weights weights = RandomWeights(config, seed);
  LayerWeights &first = weights.layers[0], &second = weights.layers[1];
  const Builder builder(config, seed);
  builder.Share(weights.embedding);
  builder.WritePrevious(first);
  builder.LookUp(first, second);
  builder.Bring(second);
  return weights;
}

}  // namespace longspan
