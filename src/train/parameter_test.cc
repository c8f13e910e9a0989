#include "train/parameter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/testing/byte_encoder.h"

namespace longspan {
namespace {

Parameter Make(std::vector<std::int64_t> shape, std::vector<float> values) {
  Tensor tensor = Tensor::Allocate(Type::kF32, std::move(shape));
  std::ranges::copy(values, tensor.mutable_floats().begin());
  return Parameter("p", tensor);
}

TrainOptions Options() {
  TrainOptions o;
  o.schedule = ScheduleKind::kConstant;
  o.learning_rate = 0.1;
  o.steps = 10;
  o.max_grad_norm = 0;
  o.beta1 = 0.8;
  o.beta2 = 0.9;
  o.epsilon = 1e-3;
  return o;
}

// Returns the norm of the gradients.
double Step(const Kernels& kernels, const TrainOptions& options, std::int64_t update,
            std::vector<Parameter>& parameters) {
  const double norm = GradientNorm(kernels, parameters);
  OptimizerStep(kernels, options, options.learning_rate, update, norm, parameters);
  return norm;
}

// Loshchilov & Hutter 2019, algorithm 2, for one number.
struct AdamWByHand {
  double x, m = 0, v = 0;
  int t = 0;
  void Step(double g, double decay) {
    ++t;
    m = 0.8 * m + 0.2 * g;
    v = 0.9 * v + 0.1 * g * g;
    const double m_hat = m / (1 - std::pow(0.8, t)), v_hat = v / (1 - std::pow(0.9, t));
    x -= 0.1 * (m_hat / (std::sqrt(v_hat) + 1e-3) + decay * x);
  }
};

TEST(Optimizer, TwoStepsOfAdamW) {
  TrainOptions options = Options();
  options.weight_decay = 0.5;
  std::vector<Parameter> parameters{Make({2, 2}, {1, -2, 3, 0.5})};
  std::vector<AdamWByHand> want{{1}, {-2}, {3}, {0.5}};
  const double gradients[2][4] = {{0.5, -1, 0, 2}, {-3, 0.25, 1, 1}};
  for (int step = 0; step < 2; ++step) {
    for (std::size_t i = 0; i < 4; ++i) {
      parameters[0].gradient.span()[i] = static_cast<float>(gradients[step][i]);
      want[i].Step(gradients[step][i], 0.5);
    }
    Step(ChooseKernels("auto"), options, step, parameters);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(parameters[0].value.floats()[i], want[i].x, 1e-5) << step << " " << i;
      EXPECT_EQ(parameters[0].gradient.span()[i], 0);
    }
  }
}

TEST(Optimizer, AParameterMayHaveARateOfItsOwn) {
  std::vector<Parameter> parameters{Make({1, 1}, {1}), Make({1, 1}, {1})};
  parameters[1].rate_factor = 4;
  for (Parameter& p : parameters) p.gradient.span()[0] = 0.5f;
  Step(ReferenceKernels(), Options(), 0, parameters);
  const float first = 1 - parameters[0].value.floats()[0], second = 1 - parameters[1].value.floats()[0];
  EXPECT_GT(first, 0);
  EXPECT_NEAR(second, 4 * first, 1e-6);
}

TEST(Optimizer, DecaysMatricesOnly) {
  TrainOptions options = Options();
  options.weight_decay = 0.5;
  std::vector<Parameter> parameters{Make({1, 2}, {1, 2}), Make({2}, {1, 2})};
  Step(ReferenceKernels(), options, 0, parameters);
  EXPECT_FLOAT_EQ(parameters[0].value.floats()[1], 2 * (1 - 0.1f * 0.5f));
  EXPECT_EQ(parameters[1].value.floats()[1], 2);
}

TEST(Optimizer, ClipsTheCommonNorm) {
  // Without momentum of earlier steps, and with a large epsilon, a step shows the gradient's size.
  TrainOptions options = Options();
  options.epsilon = 1;
  const auto moved = [&](float first, float second, double limit) {
    options.max_grad_norm = limit;
    std::vector<Parameter> parameters{Make({1, 1}, {0}), Make({1}, {0})};
    parameters[0].gradient.span()[0] = first;
    parameters[1].gradient.span()[0] = second;
    const double norm = Step(ReferenceKernels(), options, 0, parameters);
    EXPECT_NEAR(norm, std::hypot(first, second), 1e-6);  // the norm before clipping
    return std::pair(parameters[0].value.floats()[0], parameters[1].value.floats()[0]);
  };
  EXPECT_NE(moved(3, 4, 0), moved(0.6f, 0.8f, 0));
  EXPECT_FLOAT_EQ(moved(3, 4, 1).first, moved(0.6f, 0.8f, 0).first);
  EXPECT_FLOAT_EQ(moved(3, 4, 1).second, moved(0.6f, 0.8f, 0).second);
  EXPECT_EQ(moved(3, 4, 6), moved(3, 4, 0));  // below the limit nothing happens
}

TEST(Optimizer, RefusesGradientsThatAreNotNumbers) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<Parameter> parameters{Make({1, 2}, {1, 2})};
    parameters[0].gradient.span()[1] = bad;
    EXPECT_FALSE(std::isfinite(GradientNorm(ChooseKernels("auto"), parameters)));
    EXPECT_EQ(KindOf([&] { Step(ChooseKernels("auto"), Options(), 0, parameters); }), ErrorKind::kInternal);
    EXPECT_EQ(parameters[0].value.floats()[0], 1);
    EXPECT_EQ(parameters[0].value.floats()[1], 2);
  }
}

}  // namespace
}  // namespace longspan
