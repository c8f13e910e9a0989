#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/cancel.h"
#include "base/file.h"
#include "train/schedule.h"

namespace longspan {
namespace {

constexpr const char* kCheckpoint = "checkpoint.gguf";
constexpr const char* kLog = "log.jsonl";

// One step's worth of examples: loss and gradients, averaged over all its scored tokens.
Loss AccumulateStep(Network& network, const TrainData& data, const TrainOptions& o, std::int64_t step,
                    std::int64_t& tokens) {
  std::vector<Batch> batches;
  std::int64_t scored = 0;
  for (std::int64_t i = 0; i < o.gradient_accumulation; ++i) {
    batches.push_back(data.examples(step * o.ExamplesPerStep() + i * o.batch_size, o.batch_size));
    tokens += batches.back().size();
    scored += std::ranges::count_if(batches.back().targets, [](std::int32_t t) { return t >= 0; });
  }
  const float scale = scored > 0 ? 1.0f / static_cast<float>(scored) : 0.0f;
  Loss loss;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const DropoutStep dropout{true, o.seed, static_cast<std::uint64_t>(step * o.gradient_accumulation) + i};
    loss += network.ForwardBackward(batches[i], scale, dropout);
  }
  return loss;
}

}  // namespace

Loss Validate(Network& network, const std::vector<Batch>& validation) {
  Loss loss;
  for (const Batch& batch : validation) loss += network.Forward(batch);
  return loss;
}

TrainState Train(Network& network, const TrainData& data, const TrainOptions& o, std::string_view rest,
                 const std::filesystem::path& folder, Progress& progress) {
  using Clock = std::chrono::steady_clock;
  const std::string fingerprint = fmt::format("{}; {}", Describe(o), rest);
  const auto checkpoint = folder / kCheckpoint;
  TrainState state;
  if (!folder.empty() && std::filesystem::exists(checkpoint)) {
    state = LoadCheckpoint(checkpoint, fingerprint, network.parameters());
    progress.Message(fmt::format("going on from step {} of {}", state.step, checkpoint.string()));
  }
  const auto save = [&] {
    if (folder.empty()) return;
    SaveCheckpoint(checkpoint, state, fingerprint, network.parameters());
    WriteFile(folder / kLog, state.log.ToJsonLines());
  };

  progress.Start("train", o.steps, "steps");
  progress.Resume(state.step);
  double validation = 0;
  while (state.step < o.steps) {
    const auto start = Clock::now();
    const double rate = LearningRate(o, state.step);
    const Loss loss = AccumulateStep(network, data, o, state.step, state.tokens);
    const double norm = OptimizerStep(network.transformer().kernels(), o, state.step, network.parameters());
    ++state.step;
    state.seconds += std::chrono::duration<double>(Clock::now() - start).count();

    TrainLogPoint point{state.step, state.tokens, loss.mean(), rate, norm, state.seconds, {}};
    if (!data.validation.empty() && (state.step % o.eval_every == 0 || state.step == o.steps)) {
      validation = Validate(network, data.validation).mean();
      point.validation_loss = validation;
    }
    state.log.points.push_back(point);
    progress.Update(state.step, fmt::format("loss {:.3f}{}  {:.0f} tokens/s", point.loss,
                                            validation > 0 ? fmt::format(" val {:.3f}", validation) : "",
                                            static_cast<double>(state.tokens) / state.seconds));
    const bool cancelled = CancelRequested();
    if (cancelled || state.step % o.checkpoint_every == 0 || state.step == o.steps) save();
    if (cancelled) {
      Fail(ErrorKind::kCancelled, "interrupted at step {}{}", state.step,
           folder.empty() ? "" : "; run the same command again to go on");
    }
  }
  progress.Finish();
  return state;
}

}  // namespace longspan
