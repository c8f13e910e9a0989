#include "data/prepare/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <system_error>

#include "base/error.h"
#include "data/input_stream.h"
#include "data/text_format.h"
#include "data/text_hash.h"
#include "data/text_reader.h"

namespace longspan {
namespace {

constexpr std::size_t kMostFiles = 4096;  // in a unit

// Whether it can be cut. A file that cannot be read is left to who will say so.
bool IsPlainJsonLines(const std::filesystem::path& path, std::string_view text_field) {
  try {
    if (InputStream::IsPacked(path)) return false;
    TextReader reader(InputStream::OpenPlain(path, 0));
    return FindTextFormat(reader.Peek(kFormatProbe), path, text_field) == TextFormat::kJsonLines;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
    return false;
  }
}

std::string NameOf(const PrepareUnit& unit, std::string_view settings) {
  std::string all(settings);
  for (const CorpusPiece& piece : unit.pieces) {
    std::error_code error;
    const auto time = std::filesystem::last_write_time(piece.file.path, error);
    const auto changed = error ? 0 : time.time_since_epoch().count();
    const std::filesystem::path path = std::filesystem::absolute(piece.file.path, error).lexically_normal();
    all += fmt::format("\n{}\n{} {} {} {} {}", path.string(), piece.file.bytes, changed, piece.begin,
                       piece.end, piece.file.named);
  }
  const TextHash hash = HashText(all);
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

}  // namespace

std::uint64_t PrepareUnit::bytes() const {
  std::uint64_t sum = 0;
  for (const CorpusPiece& piece : pieces) sum += piece.bytes();
  return sum;
}

std::vector<PrepareUnit> MakeUnits(const std::vector<CorpusFile>& files, std::uint64_t unit_bytes,
                                   std::string_view text_field, std::string_view settings) {
  std::vector<PrepareUnit> units;
  std::uint64_t room = 0;  // for small files in the last unit
  for (const CorpusFile& file : files) {
    if (file.bytes > unit_bytes && IsPlainJsonLines(file.path, text_field)) {
      for (std::uint64_t begin = 0; begin < file.bytes; begin += unit_bytes) {
        const bool last = file.bytes - begin <= unit_bytes;
        units.push_back({{{file, begin, last ? CorpusPiece::kToEnd : begin + unit_bytes}}, {}});
      }
      room = 0;
      continue;
    }
    if (units.empty() || file.bytes > room || units.back().pieces.size() >= kMostFiles) {
      units.emplace_back();
      room = unit_bytes / 4;
    }
    units.back().pieces.push_back({file});
    room -= std::min(room, file.bytes);
  }
  for (PrepareUnit& unit : units) unit.name = NameOf(unit, settings);
  return units;
}

std::vector<std::int64_t> ShareOut(const std::vector<PrepareUnit>& units, std::int64_t parts) {
  std::vector<std::int64_t> order(units.size()), share_of(units.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](auto a, auto b) { return units[a].bytes() > units[b].bytes(); });
  std::vector<std::uint64_t> loads(static_cast<std::size_t>(parts));
  for (const std::int64_t unit : order) {
    const auto least = std::ranges::min_element(loads);
    *least += units[unit].bytes() + 1;  // so that empty files are shared out as well
    share_of[unit] = least - loads.begin();
  }
  return share_of;
}

}  // namespace longspan
