#include "data/distances.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace longspan {
namespace {

struct Run {
  std::int64_t first, last;  // positions
};

// Where a range begins.
std::int64_t Begin(std::int64_t range, std::int64_t target) { return range * target / Distances::kRanges; }

}  // namespace

Distances::Distances(std::int64_t target) : target_(target), sums_(kRanges) {}

void Distances::Add(const Batch& batch) {
  for (std::int64_t row = 0; row < batch.sequences; ++row)
    AddExample(batch, row * batch.length, (row + 1) * batch.length);
}

void Distances::AddExample(const Batch& batch, std::int64_t first, std::int64_t end) {
  // Bounds of intervals of distances: +1 where one begins, -1 after its end.
  changes_.assign(target_ + 1, 0);
  std::vector<Run> runs;  // of the document that is being read
  bool scored = false;    // it teaches something; what fills a row up does not
  bool jumps = false, any = false;
  const auto close = [&] {
    if (!scored) runs.clear();
    any = any || scored;
    jumps = jumps || runs.size() > 1;
    pairs_ += std::ssize(runs) * std::ssize(runs) / 2;
    for (std::size_t a = 0; a < runs.size(); ++a) {
      for (std::size_t b = a; b < runs.size(); ++b) {
        const std::int64_t least = a == b ? 0 : runs[b].first - runs[a].last;
        const std::int64_t most = std::min(runs[b].last - runs[a].first, target_ - 1);
        if (least > most || least < 0) continue;
        ++changes_[least];
        --changes_[most + 1];
        longest_ = std::max(longest_, most);
      }
    }
    runs.clear();
    scored = false;
  };
  for (std::int64_t i = first; i < end; ++i) {
    const std::int64_t position = batch.positions[i];
    if (i > first && batch.documents[i] != batch.documents[i - 1]) close();
    if (!runs.empty() && position == runs.back().last + 1)
      runs.back().last = position;
    else
      runs.push_back({position, position});
    scored = scored || batch.targets[i] >= 0;
  }
  close();
  if (!any) return;
  ++examples_;
  shifted_ += jumps;
  std::int64_t open = 0, range = 0;
  for (std::int64_t distance = 0; distance < target_; ++distance) {
    while (range + 1 < kRanges && distance >= Begin(range + 1, target_)) ++range;
    open += changes_[distance];
    sums_[range] += open > 0;
  }
}

std::vector<Distances::Range> Distances::Ranges() const {
  std::vector<Range> ranges;
  std::vector<double> shares;
  for (std::int64_t i = 0; i < kRanges; ++i) {
    const std::int64_t first = Begin(i, target_), end = Begin(i + 1, target_);
    if (first == end) continue;  // a target of a few tokens
    const double cases = static_cast<double>((end - first) * examples_);
    ranges.push_back({first, end - 1, examples_ > 0 ? sums_[i] / cases : 0, false});
    shares.push_back(ranges.back().share);
  }
  if (shares.empty()) return ranges;
  const auto middle = shares.begin() + std::ssize(shares) / 2;
  std::ranges::nth_element(shares, middle);
  for (Range& range : ranges) range.starved = range.share < *middle / 4 || range.share == 0;
  return ranges;
}

std::string Distances::Summary() const {
  std::vector<std::string> parts;
  for (const Range& range : Ranges())
    parts.push_back(fmt::format("to {} {:.3g}%", range.last, 100 * range.share));
  return fmt::format("{} of {} examples looked at skip positions; shares of them that have a distance: {}",
                     shifted_, examples_, fmt::join(parts, ", "));
}

std::string Distances::Warning() const {
  std::vector<std::string> parts;
  for (const Range& range : Ranges()) {
    if (range.starved)
      parts.push_back(fmt::format("{} to {} ({:.2g}%)", range.first, range.last, 100 * range.share));
  }
  if (parts.empty()) return "";
  return fmt::format("few examples have distances of {}", fmt::join(parts, ", "));
}

}  // namespace longspan
