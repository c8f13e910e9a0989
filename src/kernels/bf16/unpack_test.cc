// Unpacked rows against DecodeRow.
#include "kernels/bf16/unpack.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/memory.h"
#include "kernels/bf16/tiles.h"
#include "kernels/testing/random_blocks.h"
#include "tensor/codec.h"

namespace longspan::bf16 {
namespace {

TEST(UnpackTest, IsTheDecodedRowRounded) {
  if (!VectorsSupported()) GTEST_SKIP() << "this machine has no AVX-512 with BF16";
  constexpr std::int64_t kStride = 96;
  for (const Type type : kWeightTypes) {
    const bool floats = Traits(type).block_elements == 1;
    for (const std::int64_t n : floats ? std::vector<std::int64_t>{1, 15, 16, 17, 31, 32, 33, 100, 256}
                                       : std::vector<std::int64_t>{Traits(type).block_elements, 256, 768}) {
      const Tensor w = RandomWeight(type, 20, n, 3);
      for (std::int64_t row = 0; row < w.rows(); ++row) {
        std::vector<float> want(static_cast<std::size_t>(n));
        DecodeRow(type, w.row(row).data(), want.data(), n);
        float largest = 0;
        for (const float x : want) largest = std::max(largest, std::abs(x));
        const std::int64_t chunks = (n + kChunk - 1) / kChunk;
        AlignedVector<std::uint16_t> got(static_cast<std::size_t>(chunks * kStride), 0x7777);
        UnpackRow(type, w.row(row).data(), n, got.data(), kStride);
        for (std::int64_t i = 0; i < chunks * kStride; ++i) {
          const std::int64_t column = i / kStride * kChunk + i % kStride;
          const auto at = static_cast<std::size_t>(i);
          if (i % kStride >= kChunk) {
            ASSERT_EQ(got[at], 0x7777) << "written past a chunk";
          } else if (column >= n) {
            ASSERT_EQ(got[at], 0) << Traits(type).name << " " << n << " past the end at " << column;
          } else {
            // Half a unit in the last place of BF16, plus the rounding that a fused product leaves out when a
            // minimum is subtracted.
            const float x = want[column];
            ASSERT_NEAR(BF16ToF32(got[at]), x, std::abs(x) / 256 + 1e-6f * largest)
                << Traits(type).name << " " << n << " at " << column;
            if (floats) {
              ASSERT_EQ(got[at], F32ToBF16(x));
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace longspan::bf16
