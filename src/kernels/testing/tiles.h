// Helpers for tests on tiles: which tiles there are, and what they need of the machine.
#pragma once

#include <gtest/gtest.h>

#include <type_traits>

#include "base/parallel.h"
#include "kernels/bf16/tiles.h"

namespace longspan::bf16 {

using AllTiles = testing::Types<PlainTiles, VectorTiles, HardwareTiles>;

// Skips what the machine cannot do, and leaves the number of threads as it was.
template <class Tiles>
class TilesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!VectorsSupported()) GTEST_SKIP() << "this machine has no AVX-512 with BF16";
    if (std::is_same_v<Tiles, HardwareTiles> && !TilesSupported())
      GTEST_SKIP() << "this machine has no tile unit";
  }
  void TearDown() override { SetThreads(threads_); }

 private:
  const int threads_ = Threads();
};

}  // namespace longspan::bf16
