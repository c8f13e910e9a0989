// Damaged copies of a file, which readers must survive.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/random.h"

namespace longspan {

// Calls `read` with up to 400 truncations of `whole` and with `trials` copies of it that have some bytes
// changed. It may throw an Error that is not internal; anything else fails the test.
inline void ExpectDamageIsBorne(const std::string& whole, int trials,
                                const std::function<void(const std::string&)>& read) {
  const auto bear = [&](const std::string& text) {
    try {
      read(text);
    } catch (const Error& error) {
      EXPECT_NE(error.kind(), ErrorKind::kInternal) << error.what();
    }
  };
  for (std::size_t size = 0; size < whole.size(); size += std::max<std::size_t>(1, whole.size() / 400))
    bear(whole.substr(0, size));
  Random random(1, 0, RandomPurpose::kTest);
  for (int trial = 0; trial < trials; ++trial) {
    std::string bent = whole;
    for (std::int64_t flips = 1 + random.Below(4); flips > 0; --flips) {
      bent[random.Below(static_cast<std::int64_t>(bent.size()))] = static_cast<char>(random.Below(256));
    }
    bear(bent);
  }
}

}  // namespace longspan
