#include "cli/time_text.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>

namespace longspan {
namespace {

constexpr std::int64_t kMinute = 60, kHour = 60 * kMinute, kDay = 24 * kHour;
constexpr double kYear = 365.25 * kDay;

}  // namespace

std::string ClockTime(double seconds) {
  if (!(seconds < kDay)) return RoughTime(seconds);
  const auto s = static_cast<std::int64_t>(std::max(seconds, 0.0) + 0.5);
  if (s >= kHour) return fmt::format("{}:{:02}:{:02}", s / kHour, s / kMinute % 60, s % 60);
  return fmt::format("{}:{:02}", s / kMinute, s % 60);
}

std::string RoughTime(double seconds) {
  if (std::isnan(seconds)) return "?";
  const double years = seconds / kYear;
  if (years >= 1e6) return "over 1e6 years";
  if (years >= 1) return fmt::format("{:.{}f} years", years, years < 10 ? 1 : 0);
  const auto s = static_cast<std::int64_t>(std::ceil(std::max(seconds, 0.0)));
  if (s >= kDay) return fmt::format("{} d {} h", s / kDay, s % kDay / kHour);
  if (s >= kHour) return fmt::format("{} h {} min", s / kHour, s % kHour / kMinute);
  if (s >= kMinute) return fmt::format("{} min {} s", s / kMinute, s % kMinute);
  return fmt::format("{} s", s);
}

}  // namespace longspan
