#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/cancel.h"
#include "base/error.h"
#include "train/schedule.h"
#include "train/skipped_steps.h"

namespace longspan {
namespace {

// How much work a run is, in the units of Network::TrainWork: training, validation, and the checkpoints that
// come by steps. From this the time left is known before the first step ends.
class WorkPlan {
 public:
  WorkPlan(const Network& network, const TrainData& data, const TrainOptions& o, std::int64_t batch_tokens,
           bool saves)
      : options_(o), step_(o.gradient_accumulation * network.TrainWork(batch_tokens)) {
    for (const Batch& batch : data.validation) validation_ += network.ForwardWork(batch.size());
    if (saves) save_ = network.SaveWork();
  }

  std::int64_t Total() const { return Until(options_.steps); }
  // Up to the end of a step, its validation and checkpoint included.
  std::int64_t Until(std::int64_t step) const {
    return step * step_ + Passes(step, options_.eval_every) * validation_ +
           Passes(step, options_.checkpoint_every) * save_;
  }
  // How much of what follows step `step`, up to the end of the next, is done when `work` is.
  double PartOf(std::int64_t step, std::int64_t work) const {
    if (step >= options_.steps) return 0;
    const std::int64_t begin = Until(step), end = Until(step + 1);
    return std::clamp(static_cast<double>(work - begin) / static_cast<double>(end - begin), 0.0, 1.0);
  }

 private:
  // How often something is done up to `step` that is done every `every` steps and at the last step.
  std::int64_t Passes(std::int64_t step, std::int64_t every) const {
    return step / every + (step == options_.steps && step % every != 0 ? 1 : 0);
  }

  const TrainOptions& options_;
  std::int64_t step_, validation_ = 0, save_ = 0;
};

class Run {
 public:
  Run(Network& network, const TrainData& data, const TrainOptions& options, CheckpointSaver& saver,
      Progress& progress, const TrainClock& clock, TrainListener& listener)
      : network_(network),
        data_(data),
        options_(options),
        saver_(saver),
        progress_(progress),
        clock_(clock),
        listener_(listener),
        plan_(network, data, options, data.examples(0, options.batch_size).size(), saver.enabled()) {}

  TrainState ToTheEnd() {
    if (auto saved = saver_.Load(network_.parameters())) {
      state_ = std::move(*saved);
      progress_.Message(fmt::format("going on from step {} of {}", state_.step, options_.steps));
    }
    listener_.Begin(state_);
    progress_.Start("train", options_.steps, "steps");
    shown_ = state_.step;
    progress_.Resume(shown_);
    ReportWork(plan_.Until(state_.step));
    try {
      if (NeedsValidation()) {  // it was interrupted
        AddValidation();
        listener_.Step(state_.log.points.back());
      }
      while (state_.step < options_.steps) OneStep();
    } catch (const Error& error) {
      Abandon();
      if (error.kind() != ErrorKind::kCancelled) throw;
      FailInterrupted();
    } catch (...) {
      Abandon();
      throw;
    }
    progress_.Finish();
    listener_.End(state_);
    if (!saver_.SaveAtEnd(state_, network_.parameters())) state_.unsaved = saver_.failure();
    return std::move(state_);
  }

 private:
  void OneStep() {
    const double start = clock_.now();
    TrainLogPoint point;
    point.learning_rate = LearningRate(options_, state_.step);
    std::int64_t tokens = 0;
    point.loss = AccumulateStep(tokens).mean();
    if (!std::isfinite(point.loss)) network_.CheckWeights();  // or else the step was too large
    Update(point);
    point.step = ++state_.step;
    point.tokens = state_.tokens += tokens;
    point.seconds = state_.seconds += clock_.now() - start;
    state_.log.points.push_back(point);
    if (NeedsValidation()) AddValidation();
    listener_.Step(state_.log.points.back());
    shown_ = state_.step;
    progress_.Update(shown_, Note());
    saver_.SaveIfDue(state_, network_.parameters());
    ReportWork(plan_.Until(state_.step));
    ThrowIfCancelled();
  }

  // Changes the parameters, unless the step would harm them.
  void Update(TrainLogPoint& point) {
    const Kernels& kernels = network_.transformer().kernels();
    point.grad_norm = GradientNorm(kernels, network_.parameters());
    const std::string reason = ReasonToSkip(state_.log, point, options_.spike_factor);
    if (reason.empty()) {
      OptimizerStep(kernels, options_, point.learning_rate, state_.step - state_.log.Skipped(),
                    point.grad_norm, network_.parameters());
      return;
    }
    if (state_.log.SkippedInARow() >= options_.max_skipped) {
      Fail(ErrorKind::kBadOption, "step {} cannot be made, {}{}; lower learning_rate", state_.step + 1,
           reason,
           options_.max_skipped > 0 ? fmt::format(", nor could the {} before it", options_.max_skipped) : "");
    }
    point.skipped = true;
    network_.ClearGradients();
    progress_.Message(fmt::format("step {} is left out: {}", state_.step + 1, reason));
  }

  // Loss and gradients of one step's examples, averaged over all scored tokens.
  Loss AccumulateStep(std::int64_t& tokens) {
    std::vector<Batch> batches;
    std::int64_t scored = 0;
    for (std::int64_t i = 0; i < options_.gradient_accumulation; ++i) {
      const std::int64_t first = state_.step * options_.ExamplesPerStep() + i * options_.batch_size;
      const Batch& batch = batches.emplace_back(data_.examples(first, options_.batch_size));
      tokens += batch.text_tokens();
      scored += std::ranges::count_if(batch.targets, [](std::int32_t t) { return t >= 0; });
    }
    const float scale = scored > 0 ? 1.0f / static_cast<float>(scored) : 0.0f;
    Loss loss;
    for (std::size_t i = 0; i < batches.size(); ++i) {
      const auto pass = static_cast<std::uint64_t>(state_.step * options_.gradient_accumulation) + i;
      loss += network_.ForwardBackward(batches[i], scale, {true, options_.seed, pass}, worked_);
    }
    return loss;
  }

  bool NeedsValidation() const {
    const auto& points = state_.log.points;
    if (data_.validation.empty() || points.empty() || points.back().validation_loss) return false;
    return state_.step % options_.eval_every == 0 || state_.step == options_.steps;
  }

  void AddValidation() {
    const double loss = Validate(network_, data_.validation, worked_).mean();
    state_.log.points.back().validation_loss = loss;
    validation_note_ = fmt::format(" val {:.3f}", loss);
  }

  std::string Note() const {
    const std::int64_t skipped = state_.log.Skipped();
    return fmt::format("loss {:.3f}{}  {:.0f} tokens/s{}", state_.log.points.back().loss, validation_note_,
                       static_cast<double>(state_.tokens) / state_.seconds,
                       skipped > 0 ? fmt::format(", {} left out", skipped) : "");
  }

  void ReportWork(std::int64_t done) {
    work_ = done;
    progress_.Work(std::min(done, plan_.Total()), plan_.Total());
    progress_.Part(plan_.PartOf(shown_, done));
  }

  // Only OptimizerStep changes parameters, so after an error they are as the last whole step left them.
  void Abandon() {
    network_.ClearGradients();
    if (!saver_.Save(state_, network_.parameters()) && !CancelRequested())
      progress_.Message(fmt::format("step {} is not saved: {}", state_.step, saver_.failure()));
  }

  [[noreturn]] void FailInterrupted() const {
    if (!saver_.enabled()) Fail(ErrorKind::kCancelled, "interrupted at step {}", state_.step);
    if (saver_.failure().empty()) {
      Fail(ErrorKind::kCancelled, "interrupted at step {}; run the same command again to go on", state_.step);
    }
    Fail(ErrorKind::kIo,
         "interrupted at step {}, which could not be saved: {}; step {} is the last that is saved",
         state_.step, saver_.failure(), saver_.saved_step());
  }

  Network& network_;
  const TrainData& data_;
  const TrainOptions& options_;
  CheckpointSaver& saver_;
  Progress& progress_;
  const TrainClock& clock_;
  TrainListener& listener_;
  WorkPlan plan_;
  TrainState state_;
  std::string validation_note_;
  std::int64_t work_ = 0;
  std::int64_t shown_ = 0;  // the step that the progress is at: its validation comes before it is shown
  const WorkListener worked_ = [this](std::int64_t work) { ReportWork(work_ + work); };
};

}  // namespace

Loss Validate(Network& network, const std::vector<Batch>& validation, const WorkListener& worked) {
  Loss loss;
  for (const Batch& batch : validation) loss += network.Forward(batch, worked);
  return loss;
}

TrainState Train(Network& network, const TrainData& data, const TrainOptions& options,
                 std::string_view settings, const std::filesystem::path& folder, Progress& progress,
                 const TrainClock& clock, TrainListener* listener) {
  const RunIdentity identity{fmt::format("{}; {}", Describe(options), settings), data.content,
                             network.base()};
  CheckpointSaver saver(folder, identity, options, clock, progress);
  TrainListener nobody;
  return Run(network, data, options, saver, progress, clock, listener != nullptr ? *listener : nobody)
      .ToTheEnd();
}

}  // namespace longspan
