// For tests of the engine: small models, and requests whose outcome can be looked at.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/testing/temporary_folder.h"
#include "infer/engine.h"
#include "infer/session.h"
#include "model/testing/small_model.h"

namespace longspan {

using Tokens = std::vector<std::int32_t>;

// A small random model, as lively as a trained one.
struct SmallModel {
  explicit SmallModel(const Kernels& kernels = ChooseKernels("auto"), std::uint64_t seed = 1)
      : transformer(oracle::SmallConfig(), oracle::LivelyWeights(oracle::SmallConfig(), seed), kernels) {}
  Transformer transformer;
};

inline constexpr std::int64_t kSmallPageBytes =
    2 * 2 * kKvBlock * 2 * 8 * 4;  // layers, K and V, tokens, heads, width, F32

// Any tokens of the small model's vocabulary; those of another `seed` differ from the first on.
inline Tokens SomeTokens(std::int64_t count, std::uint64_t seed, std::int64_t vocab_size = 61) {
  Tokens tokens;
  Random random(seed, 77, RandomPurpose::kTest);
  for (std::int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<std::int32_t>(random.Below(vocab_size)));
  if (count > 0) tokens[0] = static_cast<std::int32_t>(seed % static_cast<std::uint64_t>(vocab_size));
  return tokens;
}

// A request without callbacks.
inline Request Ask(Tokens prompt, std::int64_t max_tokens, std::uint64_t seed = 0) {
  Request request;
  request.prompt = std::move(prompt);
  request.generate.max_tokens = max_tokens;
  request.sampler.seed = seed;
  if (seed == 0) request.sampler.temperature = 0;
  return request;
}

struct Outcome {
  Tokens tokens;                 // handed over
  std::optional<Finish> finish;  // once it has ended

  // `request` with callbacks that note its outcome here.
  Request Noting(Request request) {
    request.on_token = [this](std::int32_t token) {
      tokens.push_back(token);
      return true;
    };
    request.on_finish = [this](const Finish& f) { finish = f; };
    return request;
  }
};

// What the model writes for the request alone.
inline Tokens WrittenAlone(const Transformer& model, const Request& request, std::int64_t context = 0) {
  Session session(model, context);
  session.Prefill(request.prompt);
  Sampler sampler(request.sampler);
  Tokens tokens;
  session.Generate(sampler, request.generate, [&](std::int32_t token) {
    tokens.push_back(token);
    return true;
  });
  return tokens;
}

// Steps until nothing is left to do, and returns what all steps did together.
inline StepReport RunToEnd(Engine& engine) {
  StepReport sum;
  while (!engine.idle()) {
    const StepReport step = engine.Step();
    sum.read += step.read;
    sum.written += step.written;
  }
  return sum;
}

// The outcomes of all requests, submitted at once.
inline std::deque<Outcome> RunTogether(Engine& engine, const std::vector<Request>& requests) {
  std::deque<Outcome> outcomes(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) engine.Submit(outcomes[i].Noting(requests[i]));
  RunToEnd(engine);
  return outcomes;
}

}  // namespace longspan
