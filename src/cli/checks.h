// Checks of option values whose messages a person can read; CLI11's own print the limits of double in full.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <string>

namespace longspan {

inline const CLI::Validator kPositive(
    [](std::string& text) {
      double value = 0;
      const bool good = CLI::detail::lexical_cast(text, value) && value > 0 && std::isfinite(value);
      return good ? std::string() : fmt::format("expected a number above 0, found '{}'", text);
    },
    "POSITIVE");

inline const CLI::Validator kNotNegative(
    [](std::string& text) {
      double value = 0;
      const bool good = CLI::detail::lexical_cast(text, value) && value >= 0 && std::isfinite(value);
      return good ? std::string() : fmt::format("expected 0 or a number above, found '{}'", text);
    },
    "NUMBER >= 0");

// A number of this range; both ends are allowed.
inline CLI::Validator Between(double low, double high) {
  return CLI::Validator(
      [low, high](std::string& text) {
        double value = 0;
        const bool good = CLI::detail::lexical_cast(text, value) && value >= low && value <= high;
        return good ? std::string()
                    : fmt::format("expected a number from {} to {}, found '{}'", low, high, text);
      },
      fmt::format("{} to {}", low, high));
}

}  // namespace longspan
