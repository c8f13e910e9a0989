// The parts into which products are cut for threads.
#if defined(LONGSPAN_KERNELS_INT8_JOB_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_JOB_INL_H_
#undef LONGSPAN_KERNELS_INT8_JOB_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_JOB_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/int8/ahead-inl.h"
#include "kernels/int8/rounded_rows.h"
#include "kernels/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// Rows of x that one task multiplies by its strips.
inline constexpr std::int64_t kRowBlock = 512;
// Slabs of a strip that are prefetched while as many before them are multiplied.
inline constexpr std::int64_t kSlabsAtOnce = 16;

// One product's part of a loop: tasks of whole strips.
struct Job {
  // Computes the strips [first, end). `next` is memory that will be read after theirs.
  using Run = void (*)(const RoundedRows& x, const Product& product, std::int64_t first, std::int64_t end,
                       std::int64_t first_row, std::int64_t row_count, const Ahead& next);

  const Product* product;
  std::int64_t strips;          // of the weight
  std::int64_t strips_at_once;  // of a task
  Run run;
  Ahead (*memory)(const Product& product, std::int64_t strip);  // that a task begins with

  // Pieces of the strips, each for all rows of x.
  std::int64_t pieces() const { return (strips + strips_at_once - 1) / strips_at_once; }
};

// Runs all jobs as one loop.
inline void RunJobs(const RoundedRows& x, std::span<const Job> jobs) {
  const std::int64_t row_tasks = (x.rows + kRowBlock - 1) / kRowBlock;
  std::int64_t tasks = 0;
  for (const Job& job : jobs) tasks += job.pieces() * row_tasks;
  // The job of a task, whose number becomes that within the job; null past the last.
  const auto find = [&](std::int64_t& task) {
    const Job* job = jobs.data();
    const Job* const end = job + jobs.size();
    for (; job != end && task >= job->pieces() * row_tasks; ++job) task -= job->pieces() * row_tasks;
    return job == end ? nullptr : job;
  };
  ForEachAhead(tasks, [&](std::int64_t task, std::int64_t next_task) {
    const Job* const job = find(task);
    const Job* const next = find(next_task);
    const std::int64_t first = task / row_tasks * job->strips_at_once;
    const std::int64_t first_row = task % row_tasks * kRowBlock;
    job->run(x, *job->product, first, std::min(job->strips, first + job->strips_at_once), first_row,
             std::min(kRowBlock, x.rows - first_row),
             next == nullptr ? Ahead()
                             : next->memory(*next->product, next_task / row_tasks * next->strips_at_once));
  });
}

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
