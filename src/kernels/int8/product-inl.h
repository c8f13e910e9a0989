// The products of int8_products.h, over strips of weights (strips-inl.h): scales, minima and sums of kLanes
// outputs are whole vectors, and no output needs a sum across lanes.
#if defined(LONGSPAN_KERNELS_INT8_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_PRODUCT_INL_H_
#undef LONGSPAN_KERNELS_INT8_PRODUCT_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_PRODUCT_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <utility>

#include "base/memory.h"
#include "kernels/int8/ahead-inl.h"
#include "kernels/int8/codes-inl.h"
#include "kernels/int8/dots-inl.h"
#include "kernels/int8/rounded_rows.h"
#include "kernels/int8/strips-inl.h"
#include "kernels/kernels.h"
#include "tensor/rows.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET <= HWY_AVX3_DL
#pragma GCC push_options
#pragma GCC target("avx512vnni")  // as in dots-inl.h
#endif
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// Rows of x that one task multiplies by its strips.
inline constexpr std::int64_t kRowBlock = 512;
// Slabs of a strip that are prefetched while as many before them are multiplied.
inline constexpr std::int64_t kSlabsAtOnce = 16;

// The scales and minima of one slab of a strip.
template <class W>
struct SlabScales {
  static constexpr int kScales = RoundedRows::kSlab / W::kGroup;
  // [kScales, kLanes]
  HWY_ALIGN float scales[kScales * kLanes];
  HWY_ALIGN float minima[W::kMinima ? kScales * kLanes : kLanes];

  SlabScales(const Slab& slab, std::int64_t groups) { W::Scales(slab, groups, scales, minima); }
};

// The data of one row of x for a slab.
struct RoundedRow {
  const std::int8_t* codes;            // [kSlab]
  const float *scales, *sums;          // [kGroups]
  const std::int32_t *minus, *halves;  // [kGroups], [2 * kGroups]

  RoundedRow(const RoundedRows& x, std::int64_t slab, std::int64_t i) {
    const std::size_t at = x.at(slab, i);
    codes = x.codes.data() + at * RoundedRows::kSlab;
    scales = x.scales.data() + at * RoundedRows::kGroups;
    sums = x.sums.data() + at * RoundedRows::kGroups;
    minus = x.minus_sums.data() + at * RoundedRows::kGroups;
    halves = x.minus_halves.data() + at * 2 * RoundedRows::kGroups;
  }

  // For row r after this one and the weight's scale `group`: minus the sum of the codes that share the scale,
  // and the sum of the values that they stand for.
  template <class W>
  HWY_INLINE std::int32_t MinusSum(int r, std::int64_t group) const {
    return W::kGroup == 32 ? minus[r * RoundedRows::kGroups + group]
                           : halves[r * 2 * RoundedRows::kGroups + group];
  }
  template <class W>
  HWY_INLINE float Sum(int r, std::int64_t group) const {
    if constexpr (W::kGroup == 32)
      return sums[r * RoundedRows::kGroups + group];
    else
      return -Scale<W>(r, group) * static_cast<float>(halves[r * 2 * RoundedRows::kGroups + group]);
  }
  template <class W>
  HWY_INLINE float Scale(int r, std::int64_t group) const {
    return scales[r * RoundedRows::kGroups + group * W::kGroup / 32];
  }
};

constexpr int Log2(int n) { return n <= 1 ? 0 : 1 + Log2(n / 2); }
// Takes the offset off: `minus_sum` is minus the sum of the activations' codes.
template <class W>
HWY_INLINE IntVec WithoutOffset(std::int32_t minus_sum) {
  return hn::ShiftLeft<Log2(W::kOffset)>(hn::Set(IntTag(), minus_sum));
}
// Signed codes have no offset to take off.
template <class W>
inline constexpr bool kHasOffset = W::kOffset > 0 && (kVnni || W::kLargest < 255);

// Adds or stores the first `count` lanes.
HWY_INLINE void WriteOutputs(FloatVec v, std::int64_t count, bool add, float* to) {
  const FloatTag d;
  if (count >= kLanes) return hn::StoreU(add ? hn::Add(hn::LoadU(d, to), v) : v, d, to);
  HWY_ALIGN float lanes[kLanes];
  hn::Store(v, d, lanes);
  for (std::int64_t i = 0; i < count; ++i) to[i] = lanes[i] + (add ? to[i] : 0.0f);
}

// sum [kRows][kStrips] += what the columns that share scale `group` add, in the one order that all paths
// keep: first the dots, then the minima. codes(s, step) are words of strip s, from the group's first on.
template <class W, int kRows, int kStrips, class Codes>
HWY_INLINE void AddGroup(const RoundedRow& x, std::int64_t group, Codes&& codes,
                         const float* const (&scales)[kStrips], const float* const (&minima)[kStrips],
                         FloatVec (&sum)[kRows][kStrips]) {
  const FloatTag d;
  IntVec dot[kRows][kStrips];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    IntVec start = hn::Zero(IntTag());
    if constexpr (kHasOffset<W>) start = WithoutOffset<W>(x.template MinusSum<W>(r, group));
#pragma GCC unroll 2
    for (int s = 0; s < kStrips; ++s) dot[r][s] = start;
  }
  DotWords<W, kRows, kStrips, W::kGroup / 4>(x.codes + group * W::kGroup, codes, dot);
#pragma GCC unroll 2
  for (int s = 0; s < kStrips; ++s) {
    const FloatVec scale = hn::Load(d, scales[s] + group * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const FloatVec both = hn::Mul(scale, hn::Set(d, x.template Scale<W>(r, group)));
      sum[r][s] = hn::MulAdd(hn::ConvertTo(d, dot[r][s]), both, sum[r][s]);
    }
    if constexpr (W::kMinima) {
      const FloatVec minimum = hn::Load(d, minima[s] + group * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r)
        sum[r][s] = hn::NegMulAdd(minimum, hn::Set(d, x.template Sum<W>(r, group)), sum[r][s]);
    }
  }
}

// Calls f(g, codes) for the codes of each 32 columns of a slab.
template <class W, class F>
HWY_INLINE void ForEachGroup(const Slab& slab, std::int64_t groups, F&& f) {
  if constexpr (W::kElements == 32) {
    for (std::int64_t g = 0; g < groups; ++g) {
      WordVec codes[8];
      W::Codes(slab.words + g * W::kWords * kLanes, g, codes);
      f(g, codes);
    }
  } else {
    const auto group = [&](auto g) __attribute__((always_inline)) {
      WordVec codes[8];
      W::Codes(slab.words, g, codes);
      f(g.value, codes);
    };
    [&]<int... kG>(std::integer_sequence<int, kG...>) __attribute__((always_inline)) {
      (group(std::integral_constant<int, kG>()), ...);
    }
    (std::make_integer_sequence<int, RoundedRows::kGroups>());
  }
}

// How many lines to ask for in each of `parts` parts of the work on a slab of `strips` strips, so that all
// parts together ask for as much.
template <class W>
constexpr int Lines(std::int64_t strips, std::int64_t parts) {
  return static_cast<int>(strips * Strips<W>::kSlabBytes / (std::int64_t{kCacheLine} * parts)) + 1;
}

// One product's part of a loop: tasks of whole strips.
struct Job {
  const Product* product;
  std::int64_t strips;          // of the weight
  std::int64_t strips_at_once;  // of a task
  std::int64_t tasks;
  // Computes the strips [first, end). `next` is memory that will be read after theirs.
  void (*run)(const RoundedRows& x, const Product& product, std::int64_t first, std::int64_t end,
              std::int64_t first_row, std::int64_t row_count, const Ahead& next);
  Ahead (*memory)(const Product& product, std::int64_t strip);  // that a task begins with
};

// ---- One row of x.

template <class W>
void OneRow(const RoundedRows& x, const Product& product, std::int64_t first, std::int64_t end, std::int64_t,
            std::int64_t, const Ahead& next) {
  const Strips<W> w(*product.weight);
  HWY_ALIGN std::uint32_t scratch[Strips<W>::kSlabBytes / 4];
  for (std::int64_t strip = first; strip < end; ++strip) {
    FloatVec sum[1][1] = {{hn::Zero(FloatTag())}};
    Ahead ahead;
    for (std::int64_t slab = 0; slab < w.slabs(); ++slab) {
      if (slab % kSlabsAtOnce == 0) {
        ahead = slab + kSlabsAtOnce < w.slabs() ? w.Memory(strip, 1, slab + kSlabsAtOnce, kSlabsAtOnce)
                : strip + 1 < end               ? w.Memory(strip + 1, 1, 0, kSlabsAtOnce)
                                                : next;
      }
      const std::int64_t groups = w.groups(slab);
      const Slab packed = w.Read(strip, slab, scratch);
      const SlabScales<W> weight(packed, groups);
      const RoundedRow row(x, slab, 0);
      ForEachGroup<W>(
          packed, groups, [&](std::int64_t g, const WordVec(&codes)[8]) __attribute__((always_inline)) {
            ahead.Ask<Lines<W>(1, RoundedRows::kGroups)>();
#pragma GCC unroll 2
            for (int part = 0; part < 32 / W::kGroup; ++part) {
              const auto word = [&](int, int step) __attribute__((always_inline)) {
                return codes[part * W::kGroup / 4 + step];
              };
              AddGroup<W, 1, 1>(row, g * (32 / W::kGroup) + part, word, {weight.scales}, {weight.minima},
                                sum);
            }
          });
    }
    WriteOutputs(sum[0][0], w.rows() - strip * kLanes, product.store == Store::kAdd,
                 &product.y.at(0, strip * kLanes));
  }
}

template <class W>
Ahead OneRowMemory(const Product& product, std::int64_t strip) {
  return Strips<W>(*product.weight).Memory(strip, 1, 0, kSlabsAtOnce);
}

// ---- Several rows of x: codes are unpacked once, and meet all rows.

// Codes of a strip's slab: [64, kLanes] words.
inline constexpr std::int64_t kPanelWords = RoundedRows::kSlab / 4 * kLanes;

// acc [kRows][stride] += kRows rows of x times kStrips strips, over one slab.
template <class W, int kRows, int kStrips>
HWY_NOINLINE void Tile(std::int64_t groups, const RoundedRow& x, const std::uint32_t* panels,
                       const SlabScales<W>* weights, float* acc, Ahead& ahead) {
  const FloatTag d;
  constexpr std::int64_t kStride = kStrips * kLanes;
  const float* scales[kStrips];
  const float* minima[kStrips];
  for (int s = 0; s < kStrips; ++s) scales[s] = weights[s].scales, minima[s] = weights[s].minima;
  FloatVec sum[kRows][kStrips];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int s = 0; s < kStrips; ++s) sum[r][s] = hn::Load(d, acc + r * kStride + s * kLanes);
  }
  for (std::int64_t group = 0; group < groups * 32 / W::kGroup; ++group) {
    ahead.Ask<Lines<W>(kStrips, RoundedRows::kSlab / W::kGroup)>();
    const std::uint32_t* panel = panels + group * (W::kGroup / 4) * kLanes;
    const auto word = [&](int s, int step) __attribute__((always_inline)) {
      return hn::Load(WordTag(), panel + s * kPanelWords + step * kLanes);
    };
    AddGroup<W, kRows, kStrips>(x, group, word, scales, minima, sum);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int s = 0; s < kStrips; ++s) hn::Store(sum[r][s], d, acc + r * kStride + s * kLanes);
  }
}

// 12 integer sums, as many float sums, panels and a broadcast fill AVX-512's 32 registers. With 16, float
// sums would wait in memory, because they are touched once per group.
inline constexpr int kTileRows = kVnni ? 6 : 4;
inline constexpr int kTileStrips = 2;

template <class W>
using TileFunction = void (*)(std::int64_t, const RoundedRow&, const std::uint32_t*, const SlabScales<W>*,
                              float*, Ahead&);
template <class W>
inline TileFunction<W> TileFor(std::int64_t rows) {
  static constexpr TileFunction<W> kTiles[] = {
    Tile<W, 1, kTileStrips>,
    Tile<W, 2, kTileStrips>,
    Tile<W, 3, kTileStrips>,
    Tile<W, 4, kTileStrips>,
#if HWY_TARGET <= HWY_AVX3_DL
    Tile<W, 5, kTileStrips>,
    Tile<W, 6, kTileStrips>,
#endif
  };
  return kTiles[rows - 1];
}

// Computes the two strips [first, end), or one, for the rows [first_row, first_row + count) of x.
template <class W>
void ManyRows(const RoundedRows& x, const Product& product, std::int64_t first, std::int64_t end,
              std::int64_t first_row, std::int64_t count, const Ahead& next) {
  constexpr std::int64_t kWidth = kTileStrips * kLanes;
  const Strips<W> w(*product.weight);
  static thread_local AlignedVector<float> sums;
  sums.assign(static_cast<std::size_t>(count * kWidth), 0.0f);
  HWY_ALIGN std::uint32_t panels[kTileStrips * kPanelWords], scratch[Strips<W>::kSlabBytes / 4];
  Ahead ahead;
  for (std::int64_t slab = 0; slab < w.slabs(); ++slab) {
    if (slab % kSlabsAtOnce == 0) {
      ahead = slab + kSlabsAtOnce < w.slabs()
                  ? w.Memory(first, kTileStrips, slab + kSlabsAtOnce, kSlabsAtOnce)
                  : next;
    }
    const std::int64_t groups = w.groups(slab);
    const auto strip = [&](std::int64_t s) {
      // Past the last strip the one before is repeated; its outputs are not written.
      const Slab packed = w.Read(std::min(first + s, end - 1), slab, scratch);
      std::uint32_t* panel = panels + s * kPanelWords;
      ForEachGroup<W>(
          packed, groups, [&](std::int64_t g, const WordVec(&codes)[8]) __attribute__((always_inline)) {
#pragma GCC unroll 8
            for (int i = 0; i < 8; ++i) hn::Store(codes[i], WordTag(), panel + (8 * g + i) * kLanes);
          });
      return SlabScales<W>(packed, groups);
    };
    const SlabScales<W> weights[kTileStrips] = {strip(0), strip(1)};
    // Tiles of about the same height: a low one costs almost as much as a full one.
    std::int64_t tiles = (count + kTileRows - 1) / kTileRows;
    for (std::int64_t i = 0, rows = 0; i < count; i += rows, --tiles) {
      rows = (count - i + tiles - 1) / tiles;
      TileFor<W>(rows)(groups, RoundedRow(x, slab, first_row + i), panels, weights, sums.data() + i * kWidth,
                       ahead);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t s = 0; s < end - first; ++s) {
      const std::int64_t row = (first + s) * kLanes;
      WriteOutputs(hn::Load(FloatTag(), sums.data() + i * kWidth + s * kLanes), w.rows() - row,
                   product.store == Store::kAdd, &product.y.at(first_row + i, row));
    }
  }
}

template <class W>
Ahead ManyRowsMemory(const Product& product, std::int64_t strip) {
  return Strips<W>(*product.weight).Memory(strip, kTileStrips, 0, kSlabsAtOnce);
}

// ---- All products of one x, as one loop.

template <class W>
Job MakeJob(const RoundedRows& x, const Product& product) {
  const Strips<W> w(*product.weight);
  const auto pieces = [](std::int64_t n, std::int64_t size) { return (n + size - 1) / size; };
  if (x.rows > 1) {
    const std::int64_t row_tasks = pieces(x.rows, kRowBlock);
    return {&product,    w.strips(),       kTileStrips, pieces(w.strips(), kTileStrips) * row_tasks,
            ManyRows<W>, ManyRowsMemory<W>};
  }
  // Long enough that claiming a task costs nothing, short enough that threads end together.
  constexpr std::int64_t kLongest = 64 << 10, kShortest = 12 << 10, kTasks = 16;
  const std::int64_t bytes = std::clamp(w.packed_bytes() / (kTasks * Threads()), kShortest, kLongest);
  const std::int64_t strips = std::max<std::int64_t>(1, bytes / w.strip_bytes());
  return {&product, w.strips(), strips, pieces(w.strips(), strips), OneRow<W>, OneRowMemory<W>};
}

inline void RunJobs(const RoundedRows& x, std::span<const Job> jobs) {
  const std::int64_t row_tasks = x.rows == 1 ? 1 : (x.rows + kRowBlock - 1) / kRowBlock;
  std::int64_t tasks = 0;
  for (const Job& job : jobs) tasks += job.tasks;
  // The job of a task, whose number becomes that within the job; null past the last.
  const auto find = [&](std::int64_t& task) {
    const Job* job = jobs.data();
    for (; job != jobs.data() + jobs.size() && task >= job->tasks; ++job) task -= job->tasks;
    return job == jobs.data() + jobs.size() ? nullptr : job;
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
#if HWY_TARGET <= HWY_AVX3_DL
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#endif
